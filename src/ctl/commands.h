/* What the verbs do: the functions that the table in verbs.c names. */
#pragma once

#include "ctl/args.h"
#include "ctl/ctl.h"

int cmd_status(struct ctl *ctl, const struct args *args);
int cmd_list(struct ctl *ctl, const struct args *args);
int cmd_show(struct ctl *ctl, const struct args *args);
int cmd_history(struct ctl *ctl, const struct args *args);
int cmd_why(struct ctl *ctl, const struct args *args);
int cmd_events(struct ctl *ctl, const struct args *args);
int cmd_wait(struct ctl *ctl, const struct args *args);
int cmd_watch(struct ctl *ctl, const struct args *args);
/* The same without taking over the terminal. */
int cmd_watch_lines(struct ctl *ctl, const struct args *args);
int cmd_add(struct ctl *ctl, const struct args *args);
int cmd_remove(struct ctl *ctl, const struct args *args);
int cmd_pause(struct ctl *ctl, const struct args *args);
int cmd_resume(struct ctl *ctl, const struct args *args);
int cmd_poll(struct ctl *ctl, const struct args *args);
int cmd_hooks(struct ctl *ctl, const struct args *args);
int cmd_deliveries(struct ctl *ctl, const struct args *args);
int cmd_plan(struct ctl *ctl, const struct args *args);
int cmd_doctor(struct ctl *ctl, const struct args *args);
int cmd_config(struct ctl *ctl, const struct args *args);
int cmd_reload(struct ctl *ctl, const struct args *args);
int cmd_consume(struct ctl *ctl, const struct args *args);
int cmd_backup(struct ctl *ctl, const struct args *args);
int cmd_completion(struct ctl *ctl, const struct args *args);
