/* quality.h: what can be measured of one picture without knowing what it shows, and which of it is out of the
 * ordinary.
 *
 * A measure is judged against the data set itself: beyond its median by so many
 * deviations (1.4826 times the median absolute deviation, which outliers do not
 * move: F. Hampel, The influence curve and its role in robust estimation, 1974),
 * and at the same time beyond a mild bound, below which nothing is wrong with a
 * picture however rare it is; or beyond a hard bound, whatever the others are. */
#ifndef MQ_QUALITY_H
#define MQ_QUALITY_H

#include "curate/look.h"

typedef enum {
    MQ_SHARPNESS, /* variance of the Laplacian of grey levels (J. Pech-Pacheco et al., Diatom autofocusing in
                     brightfield microscopy, ICPR 2000), at MQ_LOOK_SIDE pixels */
    MQ_BRIGHT,    /* grey level that 95 % of the pixels do not exceed, 0 to 255: low in dark pictures */
    MQ_DIM,       /* grey level that 5 % do not exceed: high in over-exposed ones */
    MQ_CLIPPED,   /* share of pixels at 250 and more */
    MQ_ENTROPY,   /* of the histogram of grey levels, bits, 0 to 8 */
    MQ_SIDE,      /* shorter side of what the network sees, pixels of the picture */
    MQ_AREA,      /* its pixels */
    MQ_SHAPE,     /* longer side / shorter side */
    MQ_MEASURES
} mq_measure_kind;

/* A word for reports and programs. Static. */
const char *mq_measure_name(mq_measure_kind kind);

/* Fills the first five, from pixels; the sizes are the caller's to fill. */
void mq_quality_measure(const uint8_t luma[MQ_LOOK_PIXELS], float measures[MQ_MEASURES]);

typedef enum {
    MQ_FLAW_CORRUPT,
    MQ_FLAW_EMPTY,
    MQ_FLAW_DARK,
    MQ_FLAW_OVEREXPOSED,
    MQ_FLAW_BLURRED,
    MQ_FLAW_TINY,
    MQ_FLAW_ODD_SIZE,
    MQ_FLAW_ODD_SHAPE,
    MQ_FLAWS
} mq_flaw;

/* A word for reports and programs, what it means in a few words, and the measure it is told by (MQ_MEASURES:
 * none). Static. */
typedef struct {
    const char *word, *means;
    mq_measure_kind measure;
} mq_flaw_text;
const mq_flaw_text *mq_flaw_name(mq_flaw flaw);

/* From where on a measure is a flaw; NAN: no bound on that side. */
typedef struct {
    float below[MQ_FLAWS], above[MQ_FLAWS];
} mq_limits;

/* The bounds for a data set: measures [count, MQ_MEASURES], rows of NAN being pictures without. */
MQ_MUST_USE mq_status mq_limits_find(mq_err *err, const float *measures, size_t count, mq_limits *limits);

/* The flaws of one picture, a bit (1 << mq_flaw) each. */
unsigned mq_quality_flaws(const mq_limits *limits, const float measures[MQ_MEASURES]);

/* How many times beyond its bound a picture with the flaw lies; 0 where nothing is measured. */
float mq_quality_excess(const mq_limits *limits, mq_flaw flaw, const float measures[MQ_MEASURES]);

#endif
