/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Short forms for json-c, for both sides of the control socket.  Getters never fail: absent or of
 * another type = the default.
 */
#ifndef LS_JSON_H
#define LS_JSON_H

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

static inline void json_set_int(struct json_object *object, const char *key, int64_t value)
{
	json_object_object_add(object, key, json_object_new_int64(value));
}

static inline void json_set_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

static inline void json_set_double(struct json_object *object, const char *key, double value)
{
	json_object_object_add(object, key, json_object_new_double(value));
}

/* 64-bit identifiers as text: many JSON readers keep 53 bits of a number. */
void json_set_hex(struct json_object *object, const char *key, uint64_t value);

/* NULL when it is absent, or null. */
struct json_object *json_get(struct json_object *object, const char *key);
const char *json_get_text(struct json_object *object, const char *key, const char *absent);
uint64_t json_get_u64(struct json_object *object, const char *key, uint64_t absent);
/* Any number, and 0 without one. */
double json_get_double(struct json_object *object, const char *key);
bool json_get_bool(struct json_object *object, const char *key, bool absent);
/* NULL when it is not an array. */
struct json_object *json_get_array(struct json_object *object, const char *key);

#endif
