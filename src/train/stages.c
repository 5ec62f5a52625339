/* stages.c: the reading of --stages, --epochs and --lr. Called by the command
 * line. Invariant: every stage that comes out can be trained by this version. */
#include "train/stages.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EPOCHS_MAX = 100000, EPOCHS = 20, THAWED_EPOCHS = 5, TEXT_MAX = 1 << 16 };
static const double LR = 1e-3, THAWED_LR = 1e-4;

/* A whole number of epochs or a learning rate, the whole of text. */
static mq_status parse_epochs(mq_err *err, const char *text, mq_stage *stage) {
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= 1) || value > EPOCHS_MAX || value != floor(value))
        return mq_fail(err, MQ_USAGE, "\"%.40s\" is no number of epochs (1 to %d)", text, EPOCHS_MAX);
    stage->epochs = (uint32_t)value;
    return MQ_OK;
}

static mq_status parse_lr(mq_err *err, const char *text, mq_stage *stage) {
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < 0)
        return mq_fail(err, MQ_USAGE, "\"%.40s\" is no learning rate", text);
    stage->lr = mq_text_nine_digits(value);
    return MQ_OK;
}

bool mq_stage_is_head(const mq_stage *stage) {
    return strcmp(stage->thaw, "head") == 0;
}

bool mq_stage_block(const mq_stage *stage, char block[MQ_STAGE_NAME]) {
    const size_t length = strlen(stage->thaw);
    if (length < 2 || stage->thaw[length - 1] != '+') return false;
    snprintf(block, MQ_STAGE_NAME, "%.*s", (int)length - 1, stage->thaw);
    return true;
}

/* "stored" or "train" behind a slash. */
static mq_status parse_bn(mq_err *err, const char *text, mq_stage *stage) {
    mq_status status = MQ_OK;
    const bool train = strcmp(text, "train") == 0;
    MQ_REQUIRE(train || strcmp(text, "stored") == 0, err, MQ_USAGE,
               "\"/%.40s\": batch norm is /stored or /train, as in block9+:5@1e-4/stored", text);
    MQ_REQUIRE(!train || !mq_stage_is_head(stage), err, MQ_USAGE,
               "the stage head thaws no batch norm: it always uses the stored statistics");
    stage->batch_statistics = train;
cleanup:
    return status;
}

/* text without the blanks around it, which it loses. */
static char *trim(char *text) {
    text += strspn(text, " ");
    size_t length = strlen(text);
    while (length && text[length - 1] == ' ') text[--length] = 0;
    return text;
}

/* One stage, "NAME[:EPOCHS][@LR][/BN]"; text is cut up. */
static mq_status parse_stage(mq_err *err, char *text, mq_stage *stage) {
    mq_status status = MQ_OK;
    const char *bn = mq_text_cut(text, '/'), *lr = mq_text_cut(text, '@'), *epochs = mq_text_cut(text, ':');
    const size_t length = strlen(text);
    MQ_REQUIRE(length && length < sizeof stage->thaw, err, MQ_USAGE,
               "\"%.40s\" is no stage; a stage is head, BLOCK+ or all, as in head:20@1e-3", text);
    *stage = (mq_stage){.epochs = THAWED_EPOCHS, .lr = THAWED_LR, .batch_statistics = true};
    snprintf(stage->thaw, sizeof stage->thaw, "%s", text);
    MQ_REQUIRE(mq_stage_is_head(stage) || strcmp(text, "all") == 0 || (length > 1 && text[length - 1] == '+'),
               err, MQ_USAGE, "%s is no stage; a stage is head, BLOCK+ or all, as in head:20@1e-3", text);
    if (mq_stage_is_head(stage)) stage->epochs = EPOCHS, stage->lr = LR, stage->batch_statistics = false;
    if (epochs) MQ_TRY(parse_epochs(err, epochs, stage));
    if (lr) MQ_TRY(parse_lr(err, lr, stage));
    if (bn) MQ_TRY(parse_bn(err, bn, stage));
cleanup:
    return status;
}

typedef mq_status (*parse_number)(mq_err *err, const char *text, mq_stage *stage);

/* Gives the numbers of a LIST to the stages; a single one addresses the last stage. */
static mq_status parse_list(mq_err *err, const char *option, const char *list, parse_number parse,
                            mq_stage *stages, size_t count) {
    mq_status status = MQ_OK;
    char *copy = NULL, *rest = NULL;
    size_t commas = 0, i = 0;
    if (!list) return status;
    MQ_TRY(mq_strdup(err, list, &copy));
    for (const char *p = list; *p; p++) commas += *p == ',';
    MQ_REQUIRE(commas == 0 || commas + 1 == count, err, MQ_USAGE, "--%s has %zu numbers for %zu stages",
               option, commas + 1, count);
    if (commas == 0) i = count - 1;
    for (char *word = strtok_r(copy, ",", &rest); word && i < count; word = strtok_r(NULL, ",", &rest))
        MQ_TRY(parse(err, trim(word), &stages[i++]));
    MQ_REQUIRE(i == count, err, MQ_USAGE, "--%s: a number is missing in \"%.60s\"", option, list);
cleanup:
    free(copy);
    return status;
}

mq_status mq_stages_parse(mq_err *err, const mq_stages_words *words, mq_stage stages[MQ_STAGES_MAX],
                          size_t *count) {
    mq_status status = MQ_OK;
    char *copy = NULL, *rest = NULL;
    *count = 0;
    MQ_TRY(mq_strdup(err, words->stages, &copy));
    for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        MQ_REQUIRE(*count < MQ_STAGES_MAX, err, MQ_USAGE, "more than %d stages", MQ_STAGES_MAX);
        MQ_TRY(parse_stage(err, trim(word), &stages[(*count)++]));
    }
    MQ_REQUIRE(*count, err, MQ_USAGE, "--stages names no stage; try --stages head:%d@%g", EPOCHS, LR);
    MQ_TRY(parse_list(err, "epochs", words->epochs, parse_epochs, stages, *count));
    MQ_TRY(parse_list(err, "lr", words->lr, parse_lr, stages, *count));
    for (size_t i = 0; i < *count; i++)
        if (words->bn != MQ_BN_AUTO && !mq_stage_is_head(&stages[i]))
            stages[i].batch_statistics = words->bn == MQ_BN_TRAIN;
cleanup:
    free(copy);
    return status;
}

mq_status mq_stages_text(mq_err *err, const mq_stage *stages, size_t count, char **text) {
    mq_status status = MQ_OK;
    mq_buf out = mq_buf_init(TEXT_MAX);
    for (size_t i = 0; i < count; i++)
        MQ_TRY(mq_buf_printf(err, &out, "%s%s:%u@%.9g%s", i ? "," : "", stages[i].thaw, stages[i].epochs,
                             stages[i].lr,
                             mq_stage_is_head(&stages[i]) ? ""
                             : stages[i].batch_statistics ? "/train"
                                                          : "/stored"));
    *text = (char *)out.data;
    out.data = NULL;
cleanup:
    mq_buf_free(&out);
    return status;
}
