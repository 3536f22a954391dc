/* SPDX-License-Identifier: BSD-3-Clause */
/* Bounds that more than one layer knows.  Every table and queue has one (invariant I14). */
#ifndef LS_BASE_LIMITS_H
#define LS_BASE_LIMITS_H

#define NODE_NAME_MAX 31
#define VOLUME_NAME_MAX 63
#define POOL_NAME_MAX 31
#define POOL_DEVICES_MAX 16
#define ENGINE_POOLS_MAX 16
/* A volume's number carries its index in the low ten bits; see record.h. */
#define ENGINE_VOLUMES_MAX 1024
#define ENGINE_PEERS_MAX 8
#define VOLUME_EXTENTS_MAX 60
/* Replicas besides the local one.  The formats have room; one is what this version pairs. */
#define VOLUME_REPLICAS_MAX 3
#define PEER_KEY_BYTES_MIN 16
#define PEER_KEY_BYTES_MAX 64
#define PEER_ADDRESS_MAX 95

#endif
