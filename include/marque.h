/* marque.h: the one header of the marque library: loads a model that `marque train` made and says what
 * pictures show. Decoding, cutting, resizing and computing are the very code of `marque predict`, so that the
 * same pixels get the same numbers to the last bit on the same processor, in the default rounding mode.
 *
 *     mq_err err = {MQ_OK, ""};
 *     mq_classifier *classifier = NULL;
 *     const mq_classifier_plan plan = {.size = sizeof plan, .model = "model.safetensors"};
 *     if (mq_classifier_open(&err, &plan, &classifier) != MQ_OK) ... err.text says why ...
 *     const mq_image image = {.size = sizeof image, .data = frame, .data_size = bytes,
 *                             .format = MQ_PIXELS_BGR, .width = 1920, .height = 1080, .stride = 5760};
 *     mq_guess best[5];
 *     if (mq_classify(&err, classifier, &image, 1, 5, best) == MQ_OK) puts(best[0].name);
 *     mq_classifier_free(&classifier);
 *
 *     cc program.c $(pkg-config --cflags --libs marque)
 *
 * Errors: every function that can fail takes an mq_err first, zeroed by the caller, and returns its status;
 * the first error wins, so zero it again before the next call. Judge by the returned status: until it is
 * zeroed err keeps the first error, whatever later calls do. Of an image: wrong arguments (a NULL, a stride,
 * a frame too small or too large) are MQ_USAGE; a damaged or too large picture, and a box that is empty or
 * outside, MQ_BAD_DATA; a missing marque-pictures, MQ_UNAVAILABLE; no memory, open files or processes left,
 * MQ_NO_MEMORY. Nothing of marque prints or ends the process.
 * The libraries below it may where the process is refused memory or threads (RLIMIT_AS, a limit of
 * processes): oneDNN and OpenMP cannot go on then. A classifier of Xception takes 0.1 to 0.2 GB. Pointers
 * must not be NULL where nothing says that they may.
 *
 * Structs that a caller fills begin with their size (sizeof), and members not named must be zero: a later
 * library that knows more of them takes the smaller structs of programs built before. mq_err, mq_box and
 * mq_guess have none and stay as they are. C++ before C++20 fills them member by member:
 * mq_image i{}; i.size = sizeof i; ...
 *
 * Threads: a classifier serves one call at a time, from any thread. Different classifiers may be used by
 * different threads at the same time; each has memory of its own. Nothing is global but the log callback.
 *
 * OpenMP: the computing threads are those of OpenMP (libgomp), which keeps some for each thread that calls:
 * call from one, or from a few that live long. They spin while they wait for each other. Where the processor
 * has other work too, open with threads = 1, or start the program with OMP_WAIT_POLICY=passive in its
 * environment; setting it inside the program is too late. A child that goes on after fork() without exec may
 * call the library only if its parent had opened with threads = 1 alone; else it would wait for ever.
 *
 * Processes: TIFF, BMP, GIF, HEIC and AVIF are decoded by marque-pictures, a process with limits that begins
 * and ends within the call. It is looked for beside libmarque.so, then in its place as installed, seen from
 * there (../libexec/marque); linked to libmarque.a, beside the program, then likewise. A host that handles
 * SIGCHLD gets it for each such picture, and one that waits for any child (waitpid(-1)) meets pids it does
 * not know: it may take them, nothing is lost. */
#ifndef MARQUE_H
#define MARQUE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Values are sysexits, so that the program can exit with them as they are. */
typedef enum {
    MQ_OK = 0,
    MQ_GATE_MISSED = 1,  /* a result is below what --assert-... asked for */
    MQ_USAGE = 64,       /* the caller asked for something that makes no sense */
    MQ_BAD_DATA = 65,    /* a file says something impossible */
    MQ_NO_INPUT = 66,    /* a file is missing or unreadable */
    MQ_UNAVAILABLE = 69, /* this build or processor cannot do it, or the network is out of reach */
    MQ_INTERNAL = 70,    /* a fault of marque or of a library below it */
    MQ_NO_MEMORY = 71,
    MQ_CANNOT_CREATE = 73, /* an output cannot be created, or is in use */
    MQ_IO = 74,            /* reading or writing failed half-way */
    MQ_INTERRUPTED = 75,   /* stopped with everything saved: run me again */
} mq_status;

/* Stands before every function that returns mq_status (gcc 12 has no must-use types in C17). */
#define MQ_MUST_USE __attribute__((warn_unused_result))

/* Stands before every function of this header: the shared library shows these and no others. */
#define MQ_API __attribute__((visibility("default")))

typedef struct {
    mq_status code;
    char text[1024]; /* one sentence: which file and row, what is wrong, what to do; names of files in it
                        are as they came, so it may hold any bytes */
} mq_err;

typedef enum { MQ_LOG_NOTE, MQ_LOG_WARNING } mq_log_level;

/* Receives what the library has to say beside its errors, at present nothing; text is borrowed until it
 * returns. Called from any thread. */
typedef void (*mq_log_fn)(void *user, mq_log_level level, const char *text);

/* Sets the callback for the whole process, before any other call; NULL drops messages (the state at start).
 * user is borrowed. */
MQ_API void mq_log_set(mq_log_fn fn, void *user);

/* The version of the library, such as "0.1.0". Static. */
MQ_API const char *mq_version(void);

/* A box in pixels of the picture as stored, before its EXIF orientation: [x1,x2) x [y1,y2). */
typedef struct {
    int32_t x1, y1, x2, y2;
} mq_box;

/* How the bytes of an image lie. */
typedef enum {
    MQ_PIXELS_ENCODED, /* a JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF file, told by its first bytes */
    MQ_PIXELS_RGB,     /* 8 bits a channel from here on */
    MQ_PIXELS_BGR,
    MQ_PIXELS_RGBA, /* not premultiplied; laid over the background of the model, as a PNG with alpha is */
    MQ_PIXELS_BGRA,
    MQ_PIXELS_GRAY,
} mq_pixel_format;

/* A picture to classify; all borrowed during the call. It has at most 178956970 pixels, and 1000000 on a
 * side: more is MQ_BAD_DATA in a file, MQ_USAGE in a frame. During its turn it takes memory for an RGB copy
 * of all its pixels, 3 bytes each, also where a box is given; foreign formats some twice that, and
 * marque-pictures up to 4 GB. */
typedef struct {
    size_t size; /* sizeof(mq_image) */
    const void *data;
    size_t data_size; /* bytes that may be read from data on */
    mq_pixel_format format;
    /* The rest but box is for raw frames; those are taken as upright. */
    uint32_t width, height;
    ptrdiff_t stride;  /* bytes from a row to the next, at least those of a row; 0: rows lie without gaps;
                          negative: data begins with the bottom row */
    const mq_box *box; /* where the thing stands; cut at the edges; NULL: the whole picture */
} mq_image;

/* A class, and how sure the model is of it. */
typedef struct {
    size_t index;      /* of the class, from 0, in the order of labels.txt */
    const char *name;  /* as the model file has it, so it may hold any characters; lives until
                          mq_classifier_free */
    float probability; /* 0 to 1; those of all classes add up to 1 */
} mq_guess;

/* Numbers that the network computes in. */
typedef enum {
    MQ_NUMBERS_AUTO, /* a model's own 8 bits where it has them, else bf16, where the processor can */
    MQ_NUMBERS_F32,  /* of a model in 8 bits, too: its weights are widened */
    MQ_NUMBERS_BF16, /* the same; MQ_UNAVAILABLE where the processor cannot */
} mq_numbers;

typedef struct {
    size_t size;       /* sizeof(mq_classifier_plan) */
    const char *model; /* a model file, a run's folder, or the name of a run below ./runs; borrowed during
                          mq_classifier_open */
    size_t batch;      /* images computed at once, at most 4096, each takes 1 MB at 299 pixels; 0: one */
    int threads;       /* that compute, at most 256: each takes an image, and all of them work on those that
                          are left over, or the only one. Each of the first batch takes some 30 MB at 299
                          pixels. 0: one for each processor that the affinity mask and the control
                          group leave */
    mq_numbers numbers;
} mq_classifier_plan;

typedef struct mq_classifier mq_classifier;

/* Reads a model and makes it ready. The file may change or go afterwards. *classifier is the caller's; it is
 * set on success only. */
MQ_API MQ_MUST_USE mq_status mq_classifier_open(mq_err *err, const mq_classifier_plan *plan,
                                                mq_classifier **classifier);

/* Gives everything back and sets *classifier to NULL; NULL in it is fine. */
MQ_API void mq_classifier_free(mq_classifier **classifier);

/* How many classes there are, and the name of one, in the bytes of its folder's name, which lives until
 * mq_classifier_free; NULL for an index that is too large. */
MQ_API size_t mq_classifier_classes(const mq_classifier *classifier);
MQ_API const char *mq_classifier_class(const mq_classifier *classifier, size_t index);

/* Whether it was trained on pictures cut to boxes: whole pictures may then do worse. */
MQ_API bool mq_classifier_on_boxes(const mq_classifier *classifier);

/* What a classifier is. */
typedef struct {
    size_t size; /* sizeof(mq_classifier_facts), set by the caller */
    size_t classes;
    uint32_t side;       /* pixels of the square that pictures become */
    const char *numbers; /* that it computes in: "f32", "bf16" or "int8"; static */
} mq_classifier_facts;
MQ_API MQ_MUST_USE mq_status mq_classifier_info(mq_err *err, const mq_classifier *classifier,
                                                mq_classifier_facts *facts);

/* Says what each of count images shows: its best_count likeliest classes, the likeliest first, equals in the
 * order of classes, into best [count x best_count]. best_count is at most the number of classes. One image
 * that cannot be used fails the call: err names it by its place from 0 ("image 2"), and best may hold answers
 * for those before it. images and best may be NULL where count is 0, best where best_count is. */
MQ_API MQ_MUST_USE mq_status mq_classify(mq_err *err, mq_classifier *classifier, const mq_image *images,
                                         size_t count, size_t best_count, mq_guess *best);

/* The same for images that may be unusable: each has its own err in errs [count], which need not be zeroed.
 * Those of code MQ_OK are answered, with the numbers that mq_classify gives; of the others nothing is written
 * to best. Not MQ_OK where the whole cannot go on: the errs of all images without answer say why. */
MQ_API MQ_MUST_USE mq_status mq_classify_each(mq_err *errs, mq_classifier *classifier, const mq_image *images,
                                              size_t count, size_t best_count, mq_guess *best);

#ifdef __cplusplus
}
#endif
#endif
