/* tfrecord.h: the frame around each record of a TFRecord file, and such files read in order.
 *
 * Format: u64 length | masked CRC-32C of those 8 bytes | data | masked CRC-32C
 * of data, little endian (TensorFlow, core/lib/io/record_writer.h). */
#ifndef MQ_TFRECORD_H
#define MQ_TFRECORD_H

#include "base/buf.h"

enum { MQ_TFRECORD_HEADER = 12, MQ_TFRECORD_FOOTER = 4, MQ_TFRECORD_MAX = 256 << 20 };

/* Closes the frame of a record: buf holds MQ_TFRECORD_HEADER bytes of any value, then the data; the header is
 * filled in and the footer appended. */
MQ_MUST_USE mq_status mq_tfrecord_seal(mq_err *err, mq_buf *buf);

/* Checks both checksums of a whole frame of size bytes, whose data must fill it exactly. path, index and
 * offset are for messages. */
MQ_MUST_USE mq_status mq_tfrecord_check(mq_err *err, const char *path, uint64_t index, uint64_t offset,
                                        const uint8_t *frame, size_t size);

typedef struct mq_tfrecord mq_tfrecord;

/* Opens path; *reader is the caller's, to be given back to mq_tfrecord_free. */
MQ_MUST_USE mq_status mq_tfrecord_open(mq_err *err, const char *path, mq_tfrecord **reader);

/* Gives the next record. *data is borrowed until the next call; *size is in bytes. At the end of the file
 * *data is NULL and the status MQ_OK. A record that is cut off, fails its checksum or is longer than
 * MQ_TFRECORD_MAX is MQ_BAD_DATA, with its index and offset; the reader then stays where it is. */
MQ_MUST_USE mq_status mq_tfrecord_next(mq_err *err, mq_tfrecord *reader, const uint8_t **data, size_t *size);

/* Where the next record begins: bytes of the whole records given so far. */
uint64_t mq_tfrecord_offset(const mq_tfrecord *reader);

/* Closes and sets *reader to NULL; NULL is fine. */
void mq_tfrecord_free(mq_tfrecord **reader);

#endif
