/*
 * Names of messages that ask somebody to act: MESSAGE_ID in the journal, explained by
 * systemd/bulkwatch.catalog (a test compares the two). They are never given to another message.
 */
#pragma once

#define MESSAGE_ACCOUNT_PAUSED  "cb8ebe603a5442b98005b8a764a6fd0e"
#define MESSAGE_HOOK_GAVE_UP    "7343b256052142779fd8ca4f31deeab7"
#define MESSAGE_DISK_FULL       "d92f50c9cf694de78257ce9fb91d337f"
#define MESSAGE_DATABASE_FAILED "0667543dcd704bdaaf47a3858037facd"
#define MESSAGE_RELOAD_REFUSED  "46eb2f016d76453f979b53db0c005099"
