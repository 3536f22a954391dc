/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/json/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void json_set_hex(struct json_object *object, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%016" PRIx64, value);
	json_set_text(object, key, text);
}

struct json_object *json_get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

static struct json_object *get(struct json_object *object, const char *key, enum json_type type)
{
	struct json_object *value = json_get(object, key);

	return json_object_is_type(value, type) ? value : NULL;
}

const char *json_get_text(struct json_object *object, const char *key, const char *absent)
{
	struct json_object *value = get(object, key, json_type_string);
	const char *text;

	if (!value)
		return absent;
	text = json_object_get_string(value);
	/* A text with a NUL inside would be cut short without a word: it is no text to us. */
	return strlen(text) == (size_t)json_object_get_string_len(value) ? text : absent;
}

uint64_t json_get_u64(struct json_object *object, const char *key, uint64_t absent)
{
	struct json_object *value = get(object, key, json_type_int);

	/* A negative number reads as 0. */
	return value ? json_object_get_uint64(value) : absent;
}

double json_get_double(struct json_object *object, const char *key)
{
	return json_object_get_double(json_get(object, key));
}

bool json_get_bool(struct json_object *object, const char *key, bool absent)
{
	struct json_object *value = get(object, key, json_type_boolean);

	return value ? json_object_get_boolean(value) : absent;
}

struct json_object *json_get_array(struct json_object *object, const char *key)
{
	return get(object, key, json_type_array);
}
