/* exif.h: the one thing marque reads from EXIF (CIPA DC-008, a TIFF 6.0 header and directory). */
#ifndef MQ_EXIF_H
#define MQ_EXIF_H

#include <stddef.h>
#include <stdint.h>

/* The orientation 1..8 in a block of EXIF, with or without "Exif\0\0" before it; 1 where there is none, or
 * none that makes sense. */
int mq_exif_orientation(const uint8_t *block, size_t size);

#endif
