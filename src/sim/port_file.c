#include "sim/port_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "util/mem.h"

static void port_file_format(const struct sim *sim, const char *ca_file, struct buf *out)
{
	buf_addf(out, "# Where bulkwatch-sim listens, process %ld.\n", (long)getpid());
	if (sim->admin)
		buf_addf(out, "# admin: http://127.0.0.1:%u\n", server_port(sim->admin));
	buf_adds(out, "datacenters:\n");
	for (size_t i = 0; i < sim->n_datacenters; i++) {
		const struct datacenter *dc = &sim->datacenters[i];

		buf_addf(out, "  %s:\n    api_url: %s\n    accounts_url: %s\n", dc->name, dc->url,
		        dc->url);
		if (!ca_file)
			continue;
		buf_adds(out, "    ca_file: \"");
		for (const char *p = ca_file; *p; p++) {
			if (*p == '"' || *p == '\\')
				buf_addc(out, '\\');
			buf_addc(out, *p);
		}
		buf_adds(out, "\"\n");
	}
}

int port_file_write(const struct sim *sim, const char *ca_file, const char *path)
{
	cleanup(buf_deinit) struct buf text = {0};
	cleanup(mem_free_p) char *partial = mem_printf("%s.%ld.new", path, (long)getpid());
	int fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), error = 0;

	if (fd < 0)
		return -errno;
	port_file_format(sim, ca_file, &text);
	if (write(fd, text.data, text.len) != (ssize_t)text.len)
		error = errno ? -errno : -EIO;
	if (close(fd) < 0 && error == 0)
		error = -errno;
	if (error == 0 && rename(partial, path) < 0)
		error = -errno;
	if (error < 0)
		unlink(partial);
	return error;
}
