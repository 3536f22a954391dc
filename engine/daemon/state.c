/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/daemon/state.h"
#include "engine/json/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_FORMAT "lockstep-node"
#define STATE_BYTES_MAX (1u << 20)

static int copy_text(char *out, size_t bytes, const char *text, const char *what, struct err *err)
{
	if (!text || strlen(text) >= bytes)
		return err_set(err, -EINVAL, "%s is missing or too long", what);
	snprintf(out, bytes, "%s", text);
	return 0;
}

struct json_object *state_to_json(const struct state *s)
{
	struct json_object *json = json_object_new_object();
	struct json_object *node = json_object_new_object();
	struct json_object *pools = json_object_new_array();
	struct json_object *peers = json_object_new_array();

	json_set_text(json, "format", STATE_FORMAT);
	json_set_u64(json, "version", STATE_VERSION);
	json_set_text(node, "name", s->node_name);
	json_set_hex(node, "address", s->node_address);
	json_object_object_add(json, "node", node);
	for (unsigned i = 0; i < s->pool_count; i++) {
		struct json_object *pool = json_object_new_object();
		struct json_object *devices = json_object_new_array();

		json_set_text(pool, "name", s->pools[i].name);
		for (unsigned d = 0; d < s->pools[i].device_count; d++)
			json_object_array_add(devices,
					      json_object_new_string(s->pools[i].devices[d]));
		json_object_object_add(pool, "devices", devices);
		json_object_array_add(pools, pool);
	}
	json_object_object_add(json, "pools", pools);
	for (unsigned i = 0; i < s->peer_count; i++) {
		struct json_object *peer = json_object_new_object();

		json_set_text(peer, "name", s->peers[i].name);
		json_set_text(peer, "address", s->peers[i].address);
		json_set_text(peer, "key_file", s->peers[i].key_file);
		json_object_array_add(peers, peer);
	}
	json_object_object_add(json, "peers", peers);
	return json;
}

static int pool_from_json(struct state_pool *pool, struct json_object *json, struct err *err)
{
	struct json_object *devices = json_get_array(json, "devices");
	size_t count = devices ? json_object_array_length(devices) : 0;
	int rc = copy_text(pool->name, sizeof(pool->name), json_get_text(json, "name", NULL),
			   "the name of a pool", err);

	if (rc)
		return rc;
	if (!count || count > POOL_DEVICES_MAX)
		return err_set(err, -EINVAL, "pool '%s' has no devices, or more than %d",
			       pool->name, POOL_DEVICES_MAX);
	for (size_t i = 0; i < count; i++) {
		struct json_object *d = json_object_array_get_idx(devices, i);

		rc = copy_text(pool->devices[i], sizeof(pool->devices[i]),
			       json_object_is_type(d, json_type_string) ? json_object_get_string(d)
									: NULL,
			       "the device of a pool", err);
		if (rc)
			return rc;
	}
	pool->device_count = (unsigned)count;
	return 0;
}

static int peer_from_json(struct state_peer *peer, struct json_object *json, struct err *err)
{
	int rc = copy_text(peer->name, sizeof(peer->name), json_get_text(json, "name", NULL),
			   "the name of a peer", err);

	if (!rc)
		rc = copy_text(peer->address, sizeof(peer->address),
			       json_get_text(json, "address", ""), "the address of a peer", err);
	if (!rc)
		rc = copy_text(peer->key_file, sizeof(peer->key_file),
			       json_get_text(json, "key_file", NULL), "the key file of a peer",
			       err);
	return rc;
}

static int lists_from_json(struct state *s, struct json_object *json, struct err *err)
{
	struct json_object *pools = json_get_array(json, "pools");
	struct json_object *peers = json_get_array(json, "peers");
	int rc = 0;

	if (!pools || json_object_array_length(pools) > ENGINE_POOLS_MAX)
		return err_set(err, -EINVAL, "the list of pools is missing or too long");
	if (!peers || json_object_array_length(peers) > ENGINE_PEERS_MAX)
		return err_set(err, -EINVAL, "the list of peers is missing or too long");
	s->pool_count = s->peer_count = 0;
	for (size_t i = 0; !rc && i < json_object_array_length(pools); i++)
		rc = pool_from_json(&s->pools[s->pool_count++], json_object_array_get_idx(pools, i),
				    err);
	for (size_t i = 0; !rc && i < json_object_array_length(peers); i++)
		rc = peer_from_json(&s->peers[s->peer_count++], json_object_array_get_idx(peers, i),
				    err);
	return rc;
}

int state_from_json(struct state *s, struct json_object *json, struct err *err)
{
	struct json_object *node;
	uint64_t version = json_get_u64(json, "version", 0);
	const char *address;
	char *end;

	if (strcmp(json_get_text(json, "format", ""), STATE_FORMAT) != 0)
		return err_set(err, -EINVAL, "it is no " STATE_FORMAT " file");
	if (version != STATE_VERSION)
		return err_set(err, -EPROTONOSUPPORT,
			       "it has version %" PRIu64 ", this lockstepd reads version %d",
			       version, STATE_VERSION);
	if (!json_object_object_get_ex(json, "node", &node))
		return err_set(err, -EINVAL, "the node is missing");
	address = json_get_text(node, "address", "");
	errno = 0;
	s->node_address = strtoull(address, &end, 16);
	if (errno || end == address || *end || !s->node_address)
		return err_set(err, -EINVAL, "the node address is missing or not a number");
	if (copy_text(s->node_name, sizeof(s->node_name), json_get_text(node, "name", NULL),
		      "the node name", err))
		return -EINVAL;
	return lists_from_json(s, json, err);
}

static int write_all(int fd, const char *text, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, text, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int sync_directory(const char *path)
{
	char directory[512];
	int fd, rc;

	snprintf(directory, sizeof(directory), "%s", path);
	*strrchr(directory, '/') = '\0';
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fsync(fd) ? -errno : 0;
	close(fd);
	return rc;
}

static int replace(const char *path, const char *text)
{
	char temp[530];
	int fd, rc;

	snprintf(temp, sizeof(temp), "%s.new", path);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, text, strlen(text));
	if (!rc)
		rc = write_all(fd, "\n", 1);
	if (!rc && fsync(fd))
		rc = -errno;
	close(fd);
	if (!rc && rename(temp, path))
		rc = -errno;
	return rc ? rc : sync_directory(path);
}

int state_save(const struct state *s, struct err *err)
{
	struct json_object *json = state_to_json(s);
	int rc = replace(s->path,
			 json_object_to_json_string_ext(
				 json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));

	json_object_put(json);
	if (rc)
		return err_set(err, rc, "cannot write %s: %s", s->path, strerror(-rc));
	return 0;
}

static int create_new(struct state *s, const char *node_name, struct err *err)
{
	while (!s->node_address)
		if (getrandom(&s->node_address, sizeof(s->node_address), 0) < 0 && errno != EINTR)
			return err_set(err, -errno, "no random numbers: %s", strerror(errno));
	snprintf(s->node_name, sizeof(s->node_name), "%s", node_name);
	return state_save(s, err);
}

static int parse_file(struct state *s, int fd, struct err *err)
{
	struct json_object *json;
	enum json_tokener_error why;
	struct err detail = {0};
	struct stat st;
	char *text;
	ssize_t got;
	int rc;

	if (fstat(fd, &st) || st.st_size <= 0 || st.st_size > STATE_BYTES_MAX)
		return err_set(
			err, -EINVAL,
			"%s is empty or far too long; it was left as it is: restore it from a "
			"copy, or move it away to start as a new node",
			s->path);
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text)
		return err_set(err, -ENOMEM, "no memory to read %s", s->path);
	got = read(fd, text, (size_t)st.st_size);
	json = got < 0 ? NULL : json_tokener_parse_verbose(text, &why);
	free(text);
	if (!json)
		return err_set(
			err, -EINVAL,
			"%s is not JSON (%s); it was left as it is: repair it, or move it away "
			"to start as a new node",
			s->path, got < 0 ? "cannot be read" : json_tokener_error_desc(why));
	rc = state_from_json(s, json, &detail);
	json_object_put(json);
	if (rc)
		return err_set(err, rc, "%s makes no sense: %s; it was left as it is", s->path,
			       detail.text);
	return 0;
}

static int lock_directory(struct state *s, const char *directory, struct err *err)
{
	char path[512];

	if (strlen(directory) > 400)
		return err_set(err, -ENAMETOOLONG, "the path of the state directory is too long");
	if (mkdir(directory, 0700) && errno != EEXIST)
		return err_set(err, -errno, "cannot make the state directory %s: %s", directory,
			       strerror(errno));
	snprintf(path, sizeof(path), "%s/lock", directory);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB)) {
		int rc = -errno;

		close(s->lock_fd);
		s->lock_fd = -1;
		return err_set(err, rc,
			       rc == -EWOULDBLOCK ? "another lockstepd uses the state directory %s"
						  : "cannot lock the state directory %s",
			       directory);
	}
	return 0;
}

int state_open(struct state *s, const char *directory, const char *node_name, struct err *err)
{
	int fd, rc;

	*s = (struct state){.lock_fd = -1};
	rc = lock_directory(s, directory, err);
	if (rc)
		return rc;
	snprintf(s->path, sizeof(s->path), "%.400s/node.json", directory);
	fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		rc = create_new(s, node_name, err);
	} else if (fd < 0) {
		rc = err_set(err, -errno, "cannot open %s: %s", s->path, strerror(errno));
	} else {
		rc = parse_file(s, fd, err);
		close(fd);
	}
	if (rc)
		state_close(s);
	return rc;
}

void state_close(struct state *s)
{
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	s->lock_fd = -1;
}
