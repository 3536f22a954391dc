/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever a peer sends, before it has proved the key and after, the engine neither
 * asserts nor crashes, leaks or hangs, and changes no block of a volume that the peer has no
 * part in (invariant I13).
 *
 * An input is a way to begin and then steps of a script; see wire.h for what a hostile peer can
 * do here.  Nothing in it knows what a command means, so new commands are reached, too: as
 * honest traffic of a second engine, by command number, and as former requests sent again.
 */
#include "tests/fuzz/wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WIRES 6u
#define STEPS_MAX 256u
#define BEGIN_PASSES 300u
#define END_PASSES 4000u
#define VOLUME_BYTES MIB(1)

struct scene {
	struct node a, b; /* b.engine is NULL without an honest engine */
	struct wire wires[WIRES];
	uint64_t now_ns;
	bool deaf; /* dials are left unanswered for a while */
};

static bool honest(const struct scene *s)
{
	return s->b.engine != NULL;
}

static struct wire *free_wire(struct scene *s)
{
	for (unsigned i = 0; i < WIRES; i++)
		if (!s->wires[i].used)
			return &s->wires[i];
	return NULL;
}

static void answer_dial(struct scene *s, struct node *from)
{
	struct wire *w = free_wire(s);
	void *cookie = from->dial_cookie;

	if (!from->dialling || s->deaf)
		return;
	from->dialling = false;
	if (!w)
		engine_dial_failed(from->engine, cookie, "no wire is free");
	else if (from == &s->a)
		wire_open(w, &s->a, honest(s) ? &s->b : NULL, cookie, NULL);
	else
		wire_open(w, &s->a, &s->b, NULL, cookie);
}

static void pass(struct scene *s, unsigned count)
{
	while (count-- > 0) {
		s->now_ns += NS_PER_MS;
		answer_dial(s, &s->a);
		node_pass(&s->a, s->now_ns);
		if (!honest(s))
			continue;
		answer_dial(s, &s->b);
		node_pass(&s->b, s->now_ns);
	}
}

static void add_peer(struct node *n, const char *name, const char *address)
{
	struct err err;

	if (engine_peer_add(n->engine, name, address, WIRE_KEY, strlen(WIRE_KEY), &err))
		fuzz_fail(err.text);
}

static void pair(struct scene *s, struct node *source, const char *peer, bool finish)
{
	struct job *job = node_job(source);

	engine_pair(source->engine, job, "vol", peer, "copy", NULL);
	for (unsigned i = 0; finish && i < BEGIN_PASSES && node_jobs_open(source); i++)
		pass(s, 1);
	if (finish && (node_jobs_open(source) || job->err.code))
		fuzz_fail("pairing with an honest peer does not end well");
}

/* How an input begins; bits of its first byte. */
enum {
	ALONE = 1, /* there is no honest engine */
	A_DIALS = 2,
	PAIRS = 4,
	A_IS_SOURCE = 8,
	IN_SYNC = 16, /* the pairing ends before the script begins */
	UP = 32, /* the session is up before it begins */
};

static void begin(struct scene *s, uint8_t how)
{
	memset(s, 0, sizeof(*s));
	s->now_ns = NS_PER_MS;
	node_create(&s->a, "a", WIRE_ADDRESS_A);
	node_make_pool(&s->a, &s->now_ns);
	node_make_volume(&s->a, &s->now_ns, "own", VOLUME_BYTES);
	node_guard(&s->a, "own");
	node_make_volume(&s->a, &s->now_ns, "vol", VOLUME_BYTES);
	if (!(how & ALONE)) {
		node_create(&s->b, "b", WIRE_ADDRESS_B);
		node_make_pool(&s->b, &s->now_ns);
		node_make_volume(&s->b, &s->now_ns, "vol", VOLUME_BYTES);
		add_peer(&s->b, "a", how & A_DIALS ? "" : "a:1");
	}
	add_peer(&s->a, "b", how & A_DIALS ? "b:1" : "");
	if (how & ALONE && !(how & A_DIALS))
		wire_open(&s->wires[0], &s->a, NULL, NULL, NULL);
	if (how & UP)
		pass(s, 12);
	if (how & PAIRS && how & A_IS_SOURCE)
		pair(s, &s->a, "b", honest(s) && how & IN_SYNC);
	else if (how & PAIRS && honest(s))
		pair(s, &s->b, "a", how & IN_SYNC);
}

/* Steps of the script */

static const char *volume_name(struct input *in)
{
	static const char *const names[] = {"vol", "copy", "more", "own"};

	return names[take_u8(in) % 4];
}

static void client_request(struct node *n, struct input *in)
{
	const char *name = volume_name(in);
	uint8_t op = take_u8(in), flags = take_u8(in) & 1;
	uint64_t offset = (uint64_t)512 * take_u16(in), length = (uint64_t)512 * take_u16(in);

	/* "own" is guarded: nobody writes there. */
	if (strcmp(name, "own") != 0)
		node_submit(n, name, op, flags, offset, length);
}

static void operation(struct node *n, struct input *in)
{
	struct job *job = node_job(n);
	struct engine *e = n->engine;
	const char *name = volume_name(in);
	uint8_t what = take_u8(in), how = take_u8(in);

	if (!job)
		return;
	switch (strcmp(name, "own") == 0 ? 0 : what % 10) {
	case 0:
		engine_volume_create(e, job, NULL, "more", VOLUME_BYTES, how & 1);
		break;
	case 1:
		engine_volume_delete(e, job, name);
		break;
	case 2:
		engine_pair(e, job, name, how & 1 ? "b" : "a", how & 2 ? "copy" : NULL, NULL);
		break;
	case 3:
		engine_break(e, job, name);
		break;
	case 4:
		engine_resume(e, job, name, (enum engine_keep)(how % 3));
		break;
	case 5:
		engine_unpair(e, job, name);
		break;
	case 6:
		engine_promote(e, job, name, how & 1);
		break;
	case 7:
		engine_demote(e, job, name);
		break;
	case 9:
		engine_set_resync_limit(e, job, name, (uint64_t)how << 16);
		break;
	default:
		engine_set_policy(e, job, name, how & 1);
	}
}

static void new_wire(struct scene *s, struct input *in)
{
	struct wire *w = free_wire(s);

	if (w && take_u8(in) & 1)
		wire_open(w, &s->a, NULL, NULL, NULL); /* a stranger */
	s->deaf = !s->deaf;
}

static void disk(struct node *n, struct input *in)
{
	uint8_t how = take_u8(in);

	n->disk->hold = how & 1;
	n->disk->fail = how & 2 ? how >> 4 : 0;
}

static void down(struct wire *w, struct input *in)
{
	if (w->b && take_u8(in) & 1)
		flink_down(w->b, "the cable was pulled");
	else if (w->a)
		flink_down(w->a, "the cable was pulled");
}

static struct node *some_node(struct scene *s, uint8_t what)
{
	return honest(s) && what & 0x80 ? &s->b : &s->a;
}

static void later(struct scene *s, struct input *in)
{
	static const uint64_t ms[] = {5, 100, 1000, 3500, 11000, 31000};

	s->now_ns += ms[take_u8(in) % 6] * NS_PER_MS;
	pass(s, 2);
}

static void step(struct scene *s, struct input *in)
{
	uint8_t what = take_u8(in);
	struct wire *w = &s->wires[what >> 4 & 7 ? (what >> 4 & 7) % WIRES : 0];

	switch (what & 15) {
	case 0:
		pass(s, 1 + take_u8(in) % 16);
		break;
	case 1:
		wire_request(w, in, &s->a);
		break;
	case 2:
		wire_request_again(w, in);
		break;
	case 3:
		wire_request_raw(w, in);
		break;
	case 4:
		wire_completion(w, in);
		break;
	case 5:
		wire_message_raw(w, in);
		break;
	case 6:
		wire_change_next(w, in);
		break;
	case 7:
		wire_scribble(w, in);
		break;
	case 8:
		wire_handshake(w, in);
		break;
	case 9:
		down(w, in);
		break;
	case 10:
		later(s, in);
		break;
	case 11:
		disk(some_node(s, what), in);
		break;
	case 12:
		client_request(some_node(s, what), in);
		break;
	case 13:
		operation(some_node(s, what), in);
		break;
	case 14:
		new_wire(s, in);
		break;
	default:
		wire_request(w, in, &s->a);
		pass(s, 1);
	}
}

/* However it went, a node that is told to stop must do so in bounded time. */
static void end(struct scene *s)
{
	unsigned i;

	s->deaf = false;
	disks_let_go();
	engine_stop(s->a.engine);
	if (honest(s))
		engine_stop(s->b.engine);
	for (i = 0; i < END_PASSES; i++) {
		if (engine_stopped(s->a.engine) && (!honest(s) || engine_stopped(s->b.engine)))
			break;
		s->now_ns += 50 * NS_PER_MS;
		pass(s, 1);
	}
	if (i == END_PASSES)
		fuzz_fail("a node does not stop");
	node_destroy(&s->a);
	if (honest(s))
		node_destroy(&s->b);
	for (i = 0; i < WIRES; i++)
		if (s->wires[i].used)
			fuzz_fail("a link was forgotten");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct scene scene;
	struct input in = {.at = data, .left = size};

	begin(&scene, take_u8(&in));
	for (unsigned i = 0; i < STEPS_MAX && in.left > 0; i++)
		step(&scene, &in);
	end(&scene);
	return 0;
}
