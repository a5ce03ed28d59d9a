#include "sim/zip.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum {
	ZIP_VERSION = 10,
	ZIP_DOS_TIME = 14 << 11 | 24 << 5,              /* 14:24, as the sample was made */
	ZIP_DOS_DATE = (2019 - 1980) << 9 | 4 << 5 | 1, /* 1 April 2019 */
};

/* CRC-32 of ISO 3309, reflected, polynomial 0xedb88320. */
static uint32_t zip_crc(const char *bytes, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= (unsigned char)bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return ~crc;
}

static void zip_put(struct buf *out, uint32_t value, int n_bytes)
{
	for (int i = 0; i < n_bytes; i++)
		buf_addc(out, (char)(value >> (8 * i) & 0xff));
}

/* The fields that the local header and the central directory have in common. */
static void zip_put_common(struct buf *out, size_t name_len, uint32_t crc, size_t len)
{
	zip_put(out, ZIP_VERSION, 2);
	zip_put(out, 0, 2); /* flags */
	zip_put(out, 0, 2); /* method: stored */
	zip_put(out, ZIP_DOS_TIME, 2);
	zip_put(out, ZIP_DOS_DATE, 2);
	zip_put(out, crc, 4);
	zip_put(out, (uint32_t)len, 4);
	zip_put(out, (uint32_t)len, 4);
	zip_put(out, (uint32_t)name_len, 2);
	zip_put(out, 0, 2); /* extra field */
}

void zip_write(const char *name, const char *content, size_t len, struct buf *out)
{
	size_t start = out->len, directory, name_len = strlen(name);
	uint32_t crc = zip_crc(content, len);

	assert(len < UINT32_MAX / 2);
	zip_put(out, 0x04034b50, 4);
	zip_put_common(out, name_len, crc, len);
	buf_add(out, name, name_len);
	buf_add(out, content, len);

	directory = out->len;
	zip_put(out, 0x02014b50, 4);
	zip_put(out, ZIP_VERSION, 2); /* made by */
	zip_put_common(out, name_len, crc, len);
	zip_put(out, 0, 2); /* comment */
	zip_put(out, 0, 2); /* disk */
	zip_put(out, 0, 2); /* internal attributes */
	zip_put(out, 0, 4); /* external attributes */
	zip_put(out, 0, 4); /* offset of the local header */
	buf_add(out, name, name_len);

	zip_put(out, 0x06054b50, 4);
	zip_put(out, 0, 2);
	zip_put(out, 0, 2);
	zip_put(out, 1, 2);
	zip_put(out, 1, 2);
	zip_put(out, (uint32_t)(out->len - 12 - directory), 4);
	zip_put(out, (uint32_t)(directory - start), 4);
	zip_put(out, 0, 2);
}
