#include "util/err.h"

#include <errno.h>
#include <string.h>

const char *err_text(int error)
{
	switch (error) {
	case ERR_CORRUPT:
		return "the database is corrupt";
	case ERR_NEWER:
		return "the database was written by a newer version";
	case ERR_FOREIGN:
		return "the file is not a bulkwatch database";
	case ERR_LOCKED:
		return "another instance holds it";
	case ERR_FULL:
		return "the disk is full";
	case ERR_IO:
		return "I/O error";
	default:
		return strerrordesc_np(-error) ? strerrordesc_np(-error) : "unknown error";
	}
}

bool err_is_passing(int error)
{
	static const int passing[] = {ERR_FULL, ERR_IO, -EAGAIN, -EINTR, -EIO, -EMFILE, -ENFILE,
	        -ENOMEM, -ENOSPC, -EDQUOT, -ENOBUFS, -ENOLCK};

	for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++) {
		if (error == passing[i])
			return true;
	}
	return false;
}
