/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Short forms for json-c, as engine/daemon/json.h has them for the other side of the socket.
 * Getters never fail: absent or of another type = the default.
 */
#ifndef LS_TOOLS_JSON_H
#define LS_TOOLS_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

static inline void json_set_text(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

static inline void json_set_u64(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static inline void json_set_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

static inline void json_set_double(struct json_object *object, const char *key, double value)
{
	json_object_object_add(object, key, json_object_new_double(value));
}

static inline struct json_object *json_get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

static inline const char *json_get_text(struct json_object *object, const char *key,
					const char *absent)
{
	struct json_object *value = json_get(object, key);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value)
							    : absent;
}

static inline uint64_t json_get_u64(struct json_object *object, const char *key, uint64_t absent)
{
	struct json_object *value = json_get(object, key);

	return json_object_is_type(value, json_type_int) ? json_object_get_uint64(value) : absent;
}

static inline double json_get_double(struct json_object *object, const char *key)
{
	return json_object_get_double(json_get(object, key));
}

static inline bool json_get_bool(struct json_object *object, const char *key, bool absent)
{
	struct json_object *value = json_get(object, key);

	return json_object_is_type(value, json_type_boolean) ? json_object_get_boolean(value)
							     : absent;
}

/* NULL when it is not an array. */
static inline struct json_object *json_get_array(struct json_object *object, const char *key)
{
	struct json_object *value = json_get(object, key);

	return json_object_is_type(value, json_type_array) ? value : NULL;
}

#endif
