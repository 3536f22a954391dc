/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What fio's configure found out when Debian built it, as far as its headers ask: the types in
 * them (fio.h and what it includes) must be those of the installed program.  fio's own script would
 * ask this machine, which may have other libraries than Debian's builder had.  engine.c checks at
 * run time that fio's structures are where these headers have them.
 */
#ifndef LS_FIO_CONFIG_HOST_H
#define LS_FIO_CONFIG_HOST_H

#define CONFIG_LITTLE_ENDIAN
#define CONFIG_64BIT
/* In struct io_u is room for one of these; the others are smaller. */
#define CONFIG_POSIXAIO
/* thread_options.h: a set of CPUs is a cpu_set_t. */
#define CONFIG_3ARG_AFFINITY
#define CONFIG_PTHREAD_GETAFFINITY

/* What would else be declared again. */
#define CONFIG_HAVE_BOOL
#define CONFIG_HAVE_KERNEL_RWF_T
#define CONFIG_STATIC_ASSERT
#define CONFIG_STRSEP
#define CONFIG_SOCKLEN_T
#define CONFIG_CLOCK_GETTIME
#define CONFIG_HAVE_GETTID
#define CONFIG_SCHED_IDLE
#define CONFIG_PWRITEV2
#define CONFIG_POSIX_FALLOCATE
#define CONFIG_LINUX_FALLOCATE
#define CONFIG_SYNC_FILE_RANGE
#define CONFIG_GETOPT_LONG_ONLY

#endif
