/* common.h: what several commands of the program do alike. */
#ifndef MQ_COMMON_H
#define MQ_COMMON_H

#include "cli/cli.h"
#include "net/arch.h"
#include "net/bundle.h"

/* The rows that every command with compute declares, for options structs with these members. */
#define MQ_OPTION_DTYPE(type, about)                                                                         \
    {                                                                                                        \
        .name = "dtype", .kind = MQ_OPTION_CHOICE, .value = "auto|f32|bf16", .standard = "auto",             \
        .offset = offsetof(type, dtype), .help = "number format of the network; auto: " about                \
    }
#define MQ_DTYPE_AUTO "bf16 where the processor has it"
#define MQ_DTYPE_AUTO_MODEL "int8 for 8-bit models, else " MQ_DTYPE_AUTO /* of commands that ask a model */
#define MQ_OPTION_THREADS(type)                                                                              \
    {                                                                                                        \
        .name = "threads", .kind = MQ_OPTION_INT, .value = "N", .standard = "0", .min = 0, .max = 256,       \
        .offset = offsetof(type, threads), .help = "compute threads; 0: one for each core"                   \
    }
#define MQ_OPTION_WORKERS(type)                                                                              \
    {                                                                                                        \
        .name = "jobs", .alias = "workers", .letter = 'j', .kind = MQ_OPTION_INT, .value = "N",              \
        .standard = "0", .min = 0, .max = 256, .offset = offsetof(type, workers),                            \
        .help = "threads that read and decode pictures; 0: one for each core"                                \
    }
#define MQ_OPTION_BATCH(type)                                                                                \
    {                                                                                                        \
        .name = "batch", .alias = "batch-size", .letter = 'b', .kind = MQ_OPTION_INT, .value = "N",          \
        .standard = "32", .min = 1, .max = 4096, .offset = offsetof(type, batch), .help = "pictures a step"  \
    }
#define MQ_OPTION_IMGSZ(type)                                                                                \
    {                                                                                                        \
        .name = "imgsz", .alias = "img-size", .kind = MQ_OPTION_INT, .value = "N", .standard = "299",        \
        .min = 1, .max = 2048, .offset = offsetof(type, imgsz),                                              \
        .help = "side of the network's input in pixels"                                                      \
    }
#define MQ_OPTION_SHUFFLE_BUFFER(type, about)                                                                \
    {                                                                                                        \
        .name = "shuffle-buffer", .kind = MQ_OPTION_INT, .value = "N", .standard = "0", .min = 0,            \
        .max = 1e9, .offset = offsetof(type, shuffle_buffer), .help = about                                  \
    }
#define MQ_OPTION_JSON(type)                                                                                 \
    {                                                                                                        \
        .name = "json", .kind = MQ_OPTION_FLAG, .offset = offsetof(type, json),                              \
        .help = "print JSON for programs"                                                                    \
    }

/* The format that a --dtype choice means here; bf16 without a processor for it: MQ_UNAVAILABLE. */
MQ_MUST_USE mq_status mq_choose_dtype(mq_err *err, int choice, mq_dtype *dtype);

/* The network that --model means: one by name, and *weights stays NULL; or that of a model which was trained
 * before, with its weights, which are the caller's. */
MQ_MUST_USE mq_status mq_find_network(mq_err *err, const char *model, const mq_arch **arch,
                                      mq_bundle **weights);

/* What `marque pull` stored of arch, unless the network came with *weights. */
MQ_MUST_USE mq_status mq_open_weights(mq_err *err, const mq_arch *arch, mq_bundle **weights);

/* Whether the network takes pictures of that side; else MQ_USAGE. */
MQ_MUST_USE mq_status mq_check_imgsz(mq_err *err, const mq_arch *arch, int64_t imgsz);

/* Sets the compute threads and gives the number of workers: 0 means one for each core. */
size_t mq_choose_threads(int64_t threads, int64_t workers);

/* The run folder that holds the model file RUN/weights/NAME; NULL when it stands elsewhere. The caller's, for
 * free(). */
MQ_MUST_USE mq_status mq_run_of(mq_err *err, const char *model, char **run);

/* The data set of a run, from its config.json; the caller's, for free(). */
MQ_MUST_USE mq_status mq_run_data(mq_err *err, const char *run, char **data);

#endif
