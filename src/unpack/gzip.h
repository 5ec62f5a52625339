/* gzip.h: the checksum and length at the end of a gzip stream, which libarchive reads over. */
#ifndef MQ_GZIP_H
#define MQ_GZIP_H

#include "unpack/members.h"

/* Reads an archive that is packed with gzip once more, to its end, and keeps nothing; another one is fine as
 * it is. Damaged or cut, or more bytes than may be: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_gzip_check(mq_err *err, const mq_unpacking *u);

#endif
