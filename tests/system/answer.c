/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads an answer of `lockstep --json` from standard input, and prints what tests ask for most:
 * jq takes ten times as long to start, which is a quarter of a second on an emulated processor.
 *
 *   answer field LIST NAME KEY[.KEY...]   a member of the object of that name in LIST, or "null"
 *   answer extents VOLUME                 "PATH OFFSET LENGTH" for each of its extents
 *
 * Exit status 1, and a sentence, when the answer has no such object, or the volume no extents.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The object of LIST whose name is that; the program ends when there is none. */
static struct json_object *named(struct json_object *answer, const char *list, const char *name)
{
	struct json_object *all = json_object_object_get(answer, list);
	size_t n = json_object_is_type(all, json_type_array) ? json_object_array_length(all) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *one = json_object_array_get_idx(all, i);
		const char *its = json_object_get_string(json_object_object_get(one, "name"));

		if (its && !strcmp(its, name))
			return one;
	}
	fprintf(stderr, "answer: no '%s' among %zu %s\n", name, n, list);
	exit(1);
}

static void print_field(struct json_object *object, char *path)
{
	char *rest;

	for (char *key = strtok_r(path, ".", &rest); key; key = strtok_r(NULL, ".", &rest))
		object = json_object_object_get(object, key);
	puts(object ? json_object_get_string(object) : "null");
}

static void print_extents(struct json_object *volume)
{
	struct json_object *devices = json_object_object_get(volume, "devices");
	struct json_object *extents = json_object_object_get(volume, "extents");
	size_t n = json_object_is_type(extents, json_type_array) ? json_object_array_length(extents)
								 : 0;

	if (!n) {
		fprintf(stderr, "answer: the volume has no extents\n");
		exit(1);
	}
	for (size_t i = 0; i < n; i++) {
		struct json_object *extent = json_object_array_get_idx(extents, i);
		size_t device =
			(size_t)json_object_get_int(json_object_object_get(extent, "device"));
		const char *path =
			json_object_get_string(json_object_array_get_idx(devices, device));
		const char *directory = "";

		if (!strncmp(path, "file:", strlen("file:")))
			path += strlen("file:");
		/* NVMe's character device has no read(); the block device is the same bytes. */
		if (!strncmp(path, "/dev/ng", strlen("/dev/ng"))) {
			path += strlen("/dev/ng");
			directory = "/dev/nvme";
		}
		printf("%s%s %s %s\n", directory, path,
		       json_object_get_string(json_object_object_get(extent, "offset")),
		       json_object_get_string(json_object_object_get(extent, "length")));
	}
}

int main(int argc, char **argv)
{
	struct json_object *answer = json_object_from_fd(STDIN_FILENO);

	if (!answer) {
		fprintf(stderr, "answer: standard input is no JSON: %s\n",
			json_util_get_last_err());
		return 1;
	}
	if (argc == 5 && !strcmp(argv[1], "field")) {
		print_field(named(answer, argv[2], argv[3]), argv[4]);
	} else if (argc == 3 && !strcmp(argv[1], "extents")) {
		print_extents(named(answer, "volumes", argv[2]));
	} else {
		fprintf(stderr,
			"usage: answer field LIST NAME KEY[.KEY...] | answer extents VOLUME\n");
		return 2;
	}
	json_object_put(answer);
	return fflush(stdout) ? 1 : 0;
}
