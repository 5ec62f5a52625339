/* crc32c.h: the CRC of TFRecord files: Castagnoli's polynomial, reflected 0x82F63B78 (RFC 3720, B.4). */
#ifndef MQ_CRC32C_H
#define MQ_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC-32C of a block; with the processor's own instruction where it has one. */
uint32_t mq_crc32c(const void *data, size_t size);

/* The same without that instruction, for tests and other processors. */
uint32_t mq_crc32c_portable(const void *data, size_t size);

#endif
