/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a list has what was put in, in order, however the compiler reads it.
 *
 * gcc 12.2 at -O2 takes the load of a list's head out of a loop that removes what it found, if the
 * head is read as a member (`queue->items.next`) there, and with list_empty() around it: it holds
 * that the store through the node's neighbour cannot change the head.  By the language it can:
 * both are a `struct list`.  Hence -fno-strict-aliasing for everything that we compile.
 */
#include "engine/base/list.h"
#include "tests/support/t.h"

struct item {
	long number;
	struct list node;
	uint32_t bytes;
};

struct queue {
	bool blocked;
	struct list items;
};

static const long answers[] = {48, -1};
static unsigned asked;

/* Not to be seen through. */
static long __attribute__((noipa)) ask(void)
{
	return answers[asked++];
}

static void take(struct queue *q, size_t bytes)
{
	while (bytes) {
		struct item *first = LIST_ENTRY(q->items.next, struct item, node);
		size_t left = 16 + first->bytes;

		if (bytes < left)
			return;
		bytes -= left;
		list_del(&first->node);
	}
}

static void __attribute__((noipa)) take_all(struct queue *q)
{
	while (!list_empty(&q->items) && !q->blocked) {
		long n = ask();

		if (n >= 0)
			take(q, (size_t)n);
		else
			q->blocked = true;
	}
}

static void a_head_is_read_again_after_a_removal(void **state)
{
	struct item items[3] = {0};
	struct queue q = {0};

	(void)state;
	list_init(&q.items);
	for (unsigned i = 0; i < ARRAY_SIZE(items); i++)
		list_add_tail(&q.items, &items[i].node);
	asked = 0;
	take_all(&q);
	assert_true(list_empty(&q.items));
	assert_int_equal(asked, 1);
}

static void expect(struct list *list, unsigned count, const long *numbers)
{
	unsigned i = 0;

	LIST_FOR(n, list) {
		assert_true(i < count);
		assert_int_equal(LIST_ENTRY(n, struct item, node)->number, numbers[i++]);
	}
	assert_int_equal(i, count);
}

static void what_is_put_in_comes_out_in_order(void **state)
{
	struct item items[5];
	struct list one, other;

	(void)state;
	list_init(&one);
	list_init(&other);
	assert_null(list_first(&one));
	assert_null(list_pop(&one));
	for (unsigned i = 0; i < ARRAY_SIZE(items); i++) {
		items[i].number = i;
		list_add_tail(i < 3 ? &one : &other, &items[i].node);
	}
	expect(&one, 3, (long[]){0, 1, 2});
	list_del(&items[1].node);
	list_del(&items[1].node); /* twice is harmless */
	expect(&one, 2, (long[]){0, 2});
	list_splice_tail(&one, &other);
	assert_true(list_empty(&other));
	expect(&one, 4, (long[]){0, 2, 3, 4});
	list_splice_tail(&one, &other);
	LIST_FOR_SAFE(n, &one) {
		if (LIST_ENTRY(n, struct item, node)->number > 2)
			list_del(n);
	}
	expect(&one, 2, (long[]){0, 2});
	assert_ptr_equal(list_pop(&one), &items[0].node);
	assert_ptr_equal(list_pop(&one), &items[2].node);
	assert_true(list_empty(&one));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_in_comes_out_in_order),
		cmocka_unit_test(a_head_is_read_again_after_a_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
