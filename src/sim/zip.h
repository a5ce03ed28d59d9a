/*
 * A ZIP archive of one stored (uncompressed) file: what a download of a result gives. Format:
 * APPNOTE.TXT 6.3.3 of PKWARE.
 */
#pragma once

#include "util/buf.h"

/* Appends the archive to out. content must be less than 4 GiB. */
void zip_write(const char *name, const char *content, size_t len, struct buf *out);
