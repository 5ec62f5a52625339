/* phash.h: a 64-bit fingerprint of what a picture looks like, and the search for pictures whose fingerprints
 * are near.
 *
 * The fingerprint: 8 x 8 low frequencies of a cosine transform of 32 x 32 grey
 * levels, each a bit that says whether it lies above their median (C. Zauner,
 * Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). The
 * search: cut into blocks, two fingerprints at a small distance agree almost in
 * one of them (M. Norouzi, A. Punjani, D. Fleet, Fast Search in Hamming Space
 * with Multi-Index Hashing, CVPR 2012). */
#ifndef MQ_PHASH_H
#define MQ_PHASH_H

#include "data/picture.h"

/* The fingerprints of a picture and of its mirror image. Frequencies 1 to 8 in each direction, left to right
 * first, from the lowest bit on; those of the mirror image differ in sign where the horizontal one is odd. */
typedef struct {
    uint64_t upright, mirrored;
} mq_phash;

/* How many bits the fingerprints of one picture, resized or encoded anew, differ in at most where nothing
 * else tells a copy. docs/SCANNING.md says what that finds. */
enum { MQ_PHASH_ALONE = 4 };

/* Of side x side grey levels, side being a multiple of 32. */
mq_phash mq_phash_of(const uint8_t *luma, size_t side);

/* Of decoded pixels of any size, once they are turned as the EXIF orientation says. False: the picture shows
 * nothing, and its fingerprint is noise. At most 192 rows are looked at: a tenth of a
 * millisecond for a photo. */
bool mq_phash_of_pixels(const mq_pixels *pixels, int orientation, mq_phash *hash);

static inline unsigned mq_phash_distance(uint64_t a, uint64_t b) {
    return (unsigned)__builtin_popcountll(a ^ b);
}

/* Two pictures whose fingerprints are near. */
typedef struct {
    uint32_t a, b; /* a < b */
    uint8_t distance;
    bool mirrored; /* the mirror image of one is meant; the distance is the smaller of both ways */
} mq_near;

typedef struct {
    size_t size;            /* sizeof(mq_phash_plan) */
    const mq_phash *hashes; /* [count]; borrowed */
    size_t count;
    unsigned distance; /* the largest that counts, in bits */
    bool mirrors;      /* also with each other's mirror images */
    size_t most;       /* pairs kept; the search ends when there are more */
    bool (*stop)(void *user);
    void (*progress)(void *user, size_t done, size_t total);
    void *user;
} mq_phash_plan;

typedef struct {
    mq_near *pairs; /* owned, for free(); by a, then b, upright before mirrored */
    size_t count;
    bool complete; /* not cut off at `most` */
} mq_near_list;

/* Finds all pairs, in memory of 12 bytes a picture (24 with mirrors) beside the pairs. Stopped:
 * MQ_INTERRUPTED. */
MQ_MUST_USE mq_status mq_phash_pairs(mq_err *err, const mq_phash_plan *plan, mq_near_list *list);

/* The distance, from the plan's down to least, at which there will be no more than `few` pairs: as a sample
 * has them, and as pairs grow with the square of the pictures. */
MQ_MUST_USE mq_status mq_phash_narrow(mq_err *err, const mq_phash_plan *plan, size_t few, unsigned least,
                                      unsigned *distance);

#endif
