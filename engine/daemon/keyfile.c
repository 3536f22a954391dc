/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/keyfile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Room for the longest key in hex, and one more, to see that there is too much. */
#define TEXT_MAX (2 * PEER_KEY_BYTES_MAX + 32)

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode_hex(const char *text, size_t length, struct key *key)
{
	if (length % 2 || length < 2 * PEER_KEY_BYTES_MIN || length > 2 * PEER_KEY_BYTES_MAX)
		return false;
	for (size_t i = 0; i < length; i += 2) {
		int high = hex_value(text[i]), low = hex_value(text[i + 1]);

		if (high < 0 || low < 0)
			return false;
		key->bytes[i / 2] = (uint8_t)(high << 4 | low);
	}
	key->length_bytes = length / 2;
	return true;
}

static int check_file(int fd, const char *path, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, -errno, "key file %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "key file %s is not a regular file", path);
	if (st.st_mode & 077)
		return err_set(err, -EACCES,
			       "key file %s can be read by others (mode %04o): chmod 600 %s", path,
			       st.st_mode & 07777, path);
	return 0;
}

static int take(const char *text, size_t length, const char *path, struct key *key, struct err *err)
{
	if (decode_hex(text, length, key))
		return 0;
	if (length < PEER_KEY_BYTES_MIN)
		return err_set(err, -EINVAL, "key file %s: %zu bytes; a key has at least %d", path,
			       length, PEER_KEY_BYTES_MIN);
	if (length > PEER_KEY_BYTES_MAX)
		return err_set(err, -EINVAL,
			       "key file %s is too long: a key has at most %d bytes (or twice as "
			       "many hex digits)",
			       path, PEER_KEY_BYTES_MAX);
	memcpy(key->bytes, text, length);
	key->length_bytes = length;
	return 0;
}

int keyfile_read(const char *path, struct key *key, struct err *err)
{
	char text[TEXT_MAX];
	ssize_t got;
	size_t length;
	int fd, rc;

	/* O_NONBLOCK: a FIFO must not hold us up before we can refuse it. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, -errno, "cannot open key file %s: %s", path, strerror(errno));
	rc = check_file(fd, path, err);
	if (rc)
		goto close_fd;
	got = read(fd, text, sizeof(text));
	if (got < 0) {
		rc = err_set(err, -errno, "cannot read key file %s: %s", path, strerror(errno));
		goto close_fd;
	}
	length = (size_t)got;
	while (length && isspace((unsigned char)text[length - 1]))
		length--;
	rc = take(text, length, path, key, err);
	explicit_bzero(text, sizeof(text));
close_fd:
	close(fd);
	return rc;
}
