/* config.h: `marque train`'s settings as a JSON file: read over defaults, and written with every default
 * resolved. */
#ifndef MQ_CONFIG_H
#define MQ_CONFIG_H

#include "base/json.h"
#include "base/options.h"
#include "train/stages.h"

typedef struct {
    const char *preset, *stages, *epochs, *lr, *name, *output, *config, *resume, *model, *class_weights,
        *augment;
    int64_t batch, imgsz, fold, seed, keep, summary_steps, threads, workers, shuffle_buffer;
    double checkpoint_every, fraction, smoothing, max_bad;
    int optimizer, bn, head, monitor, dtype, cache, filter, fit, sampling, denoise;
    bool plan, allow_inexact;
} mq_train_options;

/* A member that a run's config.json has besides: the digest of its data set. A config for another run may
 * have it, too, and it says nothing there. */
#define MQ_CONFIG_DATA_DIGEST "data-digest"

/* The table of mq_train_options. */
extern const mq_option mq_train_options_table[];

/* Sets options from the members of json (texts borrowed from it); where names the file. *data gets the member
 * "data" if there is one. stages in its table form are collected into *stages_text, the caller's. */
MQ_MUST_USE mq_status mq_config_apply(mq_err *err, const char *where, mq_json *json,
                                      mq_train_options *options, const char **data, char **stages_text);

/* The JSON of config.json; the caller's. */
MQ_MUST_USE mq_status mq_config_make(mq_err *err, const mq_train_options *options, const char *data,
                                     const mq_stage *stages, size_t stage_count, mq_json **json);

/* MQ_BAD_DATA when a setting that decides the numbers is another one in now than in then, both from
 * mq_config_make; names the setting, and the run by where. The epochs of the last stage may differ. */
MQ_MUST_USE mq_status mq_config_compare(mq_err *err, const char *where, const mq_json *then,
                                        const mq_json *now);

#endif
