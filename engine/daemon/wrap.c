/* SPDX-License-Identifier: BSD-3-Clause */
/* The wrappers of watch.h.  Linked into lockstepd only, with the matching -Wl,--wrap. */
#include "engine/daemon/watch.h"

#include <pthread.h>
#include <stddef.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void __real_free(void *old);
void *__real_aligned_alloc(size_t align, size_t bytes);
int __real_posix_memalign(void **out, size_t align, size_t bytes);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void __wrap_free(void *old);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
int __wrap_posix_memalign(void **out, size_t align, size_t bytes);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

void *__wrap_malloc(size_t bytes)
{
	watch.allocations += watch_counts();
	return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	watch.allocations += watch_counts();
	return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	watch.allocations += watch_counts();
	return __real_realloc(old, bytes);
}

void __wrap_free(void *old)
{
	watch.allocations += watch_counts();
	__real_free(old);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	watch.allocations += watch_counts();
	return __real_aligned_alloc(align, bytes);
}

int __wrap_posix_memalign(void **out, size_t align, size_t bytes)
{
	watch.allocations += watch_counts();
	return __real_posix_memalign(out, align, bytes);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	watch.locks += watch_counts();
	return __real_pthread_mutex_lock(mutex);
}
