/* import_settings.c: reads back how a data set was imported. Called by the
 * command line before an update, and by import.c, which compares. Owns the
 * pattern of the groups. Invariant: a setting that is not recorded is its
 * default, as nothing but the default is left unrecorded. */
#include "data/import_settings.h"
#include "base/file.h"
#include "base/json.h"
#include "base/names.h"
#include "data/manifest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE_MAX = 65535, SHOWN = 160 };

/* A whole number from 0 to max; 0 where there is none. */
static mq_status read_count(mq_err *err, const char *path, const mq_json *json, const char *key, uint32_t max,
                            uint32_t *count) {
    const mq_json *member = mq_json_get(json, key);
    long long value = 0;
    if (member && (!mq_json_is_whole(member, &value) || value < 0 || value > max))
        return mq_fail(err, MQ_BAD_DATA, "%s: %s is no whole number from 0 to %u", path, key, max);
    *count = (uint32_t)value;
    return MQ_OK;
}

static bool is_word(const mq_json *json, const char *key, const char *word) {
    const char *text = mq_json_string(mq_json_get(json, key));
    return text && strcmp(text, word) == 0;
}

mq_status mq_import_settings_load(mq_err *err, const char *path, mq_import_settings *s) {
    mq_status status = MQ_OK;
    mq_json *json = NULL;
    long long seed = 0;
    int boxes = 0;
    *s = (mq_import_settings){0};
    MQ_TRY(mq_json_load(err, path, &json));
    MQ_TRY(mq_json_unpack(err, path, json, "{s:b}", "boxes", &boxes));
    const mq_json *rule = mq_json_get(json, "split"), *pattern = mq_json_get(rule, "group_by");
    s->test = mq_json_real(mq_json_get(rule, "test"));
    s->val = mq_json_real(mq_json_get(rule, "val"));
    s->margin = mq_json_real(mq_json_get(json, "margin"));
    MQ_REQUIRE(s->test >= 0 && s->test < 1 && s->val >= 0 && s->val < 1 && s->margin >= 0 && s->margin <= 10,
               err, MQ_BAD_DATA, "%s: its shares or its margin make no sense", path);
    MQ_REQUIRE(mq_json_is_whole(mq_json_get(rule, "seed"), &seed) && seed >= 0, err, MQ_BAD_DATA,
               "%s: its split has no seed", path);
    s->seed = (uint64_t)seed;
    MQ_TRY(read_count(err, path, rule, "folds", MQ_FOLDS_MAX, &s->folds));
    MQ_TRY(read_count(err, path, json, "presize", MQ_PRESIZE_MAX, &s->presize));
    MQ_TRY(read_count(err, path, json, "max_side", SIDE_MAX, &s->max_side));
    if (pattern) MQ_TRY(mq_name_from_json(err, path, pattern, &s->group_by));
    s->store = is_word(json, "store", "crop") ? MQ_STORE_CROP : MQ_STORE_ORIGINAL;
    s->decode = is_word(json, "decode", "scaled") ? MQ_DECODE_SCALED : MQ_DECODE_EXACT;
    s->truncated = is_word(json, "truncated", "accept") ? MQ_TRUNCATED_ACCEPT : MQ_TRUNCATED_REJECT;
    s->boxes = is_word(json, "boxes_taken", "ignore") ? MQ_BOXES_IGNORE : MQ_BOXES_CROP;
    s->boxless = s->boxes == MQ_BOXES_CROP && s->store == MQ_STORE_ORIGINAL && !boxes;
    const mq_json *source = mq_json_get(json, "source");
    s->leaf = is_word(source, "classes", MQ_RULE_LEAF);
    s->follow = is_word(source, "follow", "none")  ? MQ_FOLLOW_NONE
                : is_word(source, "follow", "all") ? MQ_FOLLOW_ALL
                                                   : MQ_FOLLOW_INSIDE;
cleanup:
    mq_json_free(&json);
    return status;
}

void mq_import_settings_free(mq_import_settings *settings) {
    free(settings->group_by);
    settings->group_by = NULL;
}

/* "made with --NAME WAS", or without it where was is NULL. */
static mq_status differs(mq_err *err, const mq_import_plan *plan, const char *name, const char *was) {
    return mq_fail(
        err, MQ_USAGE,
        "%s was made %s --%s%s%.100s, and an update goes on as it began; leave --%s out, or import "
        "into another folder",
        plan->output, was ? "with" : "without", name, was ? " " : "", was ? was : "", name);
}

static mq_status compare_number(mq_err *err, const mq_import_plan *plan, const char *name, double was,
                                double is) {
    char text[SHOWN];
    if (fabs(was - is) <= 1e-8) return MQ_OK; /* JSON keeps nine digits */
    snprintf(text, sizeof text, "%.9g", was);
    return differs(err, plan, name, was != 0 ? text : NULL);
}

mq_status mq_import_settings_check(mq_err *err, const mq_import_settings *s, const mq_import_plan *plan) {
    mq_status status = MQ_OK;
    const char *was = s->group_by, *is = plan->group_by;
    if (!was != !is || (was && is && strcmp(was, is) != 0)) return differs(err, plan, "group-by", was);
    if (s->boxes != plan->boxes && !s->boxless)
        return differs(err, plan, "boxes", s->boxes == MQ_BOXES_IGNORE ? "ignore" : "crop");
    if (s->store != plan->store)
        return differs(err, plan, "store", s->store == MQ_STORE_CROP ? "crop" : "original");
    if (s->decode != plan->decode)
        return differs(err, plan, "decode", s->decode == MQ_DECODE_SCALED ? "scaled" : "exact");
    if (s->truncated != plan->truncated)
        return differs(err, plan, "truncated", s->truncated == MQ_TRUNCATED_ACCEPT ? "accept" : "reject");
    if (s->leaf != plan->leaf) return differs(err, plan, "class-level", s->leaf ? "leaf" : "1");
    MQ_TRY(compare_number(err, plan, "folds", s->folds, plan->folds));
    MQ_TRY(compare_number(err, plan, "margin", s->margin, plan->margin));
    MQ_TRY(compare_number(err, plan, "presize", s->presize, plan->presize));
    MQ_TRY(compare_number(err, plan, "max-side", s->max_side, plan->max_side));
cleanup:
    return status;
}
