/* augment.h: training pictures changed at random, by a policy such as "hflip,rotate=10,brightness=0.2@0.5".
 *
 * A policy is a set of entries NAME[=ARGUMENT[:SECOND]][@PROBABILITY]; the rows of one table (augment.c) say
 * what may stand in it. Entries act in the order of the table, not of the text. What one entry draws for a
 * picture is a function of (seed, epoch, sample, entry) alone: other entries and the number of workers never
 * show. docs/AUGMENTATION.md describes it. */
#ifndef MQ_AUGMENT_H
#define MQ_AUGMENT_H

#include "data/mix.h"
#include "data/picture.h"

typedef struct mq_augment mq_augment;

/* Reads a policy: the name of a preset, entries between commas, which may begin with a preset (a later entry
 * replaces an earlier one of its name), or the path of a file of such lines, '#' before comments. A word that
 * is not known is MQ_USAGE with the nearest that is. *augment is the caller's. */
MQ_MUST_USE mq_status mq_augment_parse(mq_err *err, const char *text, mq_augment **augment);
void mq_augment_free(mq_augment **augment);

/* The policy with every default resolved and without entries that do nothing, "none" when none is left;
 * mq_augment_parse reads it back to the same policy. Borrowed. */
const char *mq_augment_text(const mq_augment *augment);

/* Whether nothing but the mirroring of mq_augment_flip changes a picture, so that what a frozen network says
 * of both views may be kept. */
bool mq_augment_cacheable(const mq_augment *augment);

/* How batches are mixed, for data/mix.h; both alphas 0 where they are not. */
mq_mix_rule mq_augment_mix(const mq_augment *augment);

/* Which picture of which epoch something is drawn for: the key of all its draws. */
typedef struct {
    uint64_t seed;
    uint32_t epoch;
    uint32_t sample; /* the picture's index in its part of the data set */
    uint32_t time;   /* how often it came before in the epoch */
} mq_draw;

/* Whether any view ever is; and whether this one is mirrored; drawn apart, because caches know both views.
 * NULL augment: never. */
bool mq_augment_flips(const mq_augment *augment);
bool mq_augment_flip(const mq_augment *augment, const mq_draw *draw);

/* Where pictures are cut: pixels as stored. */
typedef struct {
    uint32_t width, height; /* of the whole picture */
    mq_box seen;            /* what evaluation looks at */
    const mq_box *object;   /* what a window must hold, inside the picture; NULL: not known */
    bool tight;             /* seen was cut around the object, so windows may also be larger than it */
} mq_scene;

/* The window to look at instead of scene->seen: inside the picture, never without the whole object. False:
 * none is drawn. */
bool mq_augment_window(const mq_augment *augment, const mq_draw *draw, const mq_scene *scene, mq_box *window);

enum { MQ_CHANGES_MAX = 48, MQ_CHANGE_VALUES = 8 };

/* One change with its drawn values; which values a row has, augment.c says where it draws them. */
typedef struct {
    size_t row; /* of mq_augment_rows */
    double v[MQ_CHANGE_VALUES];
} mq_change;

/* What happens to the pixels of one picture, in order. */
typedef struct {
    mq_draw draw;
    size_t count;
    mq_change changes[MQ_CHANGES_MAX];
    int fill; /* grey level of what comes from outside the picture; -1: the picture mirrored there */
} mq_drawn;

/* Draws it; count 0: nothing happens. */
void mq_augment_draw(const mq_augment *augment, const mq_draw *draw, mq_drawn *drawn);

/* Does it to rgb [size, size, 3]: all changes of place together in one pass with bilinear sampling, then the
 * others one by one. */
MQ_MUST_USE mq_status mq_augment_apply(mq_err *err, const mq_drawn *drawn, uint32_t size, uint8_t *rgb);

/* A row of the table, for those who show it. */
typedef struct {
    const char *name;
    const char *meaning;          /* of the argument and what is drawn; NULL: it takes none */
    double standard, least, most; /* of the argument */
    double probability;           /* the default */
    const char *source;           /* of the formula */
} mq_augment_entry;

/* *entry is row index; false behind the last. */
bool mq_augment_row(size_t index, mq_augment_entry *entry);

/* The row of name; SIZE_MAX when there is none. */
size_t mq_augment_find(const char *name);

/* Name and policy of preset index, static; false behind the last. */
bool mq_augment_preset(size_t index, const char **name, const char **policy);

#endif
