#include "util/err.h"

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
