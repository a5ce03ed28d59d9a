/* The file that tells where the simulator listens: a `datacenters:` section for bulkwatchd.yaml(5).
 */
#pragma once

#include "sim/sim.h"

/* Written whole or not at all; 0 or -errno. */
int port_file_write(const struct sim *sim, const char *ca_file, const char *path);
