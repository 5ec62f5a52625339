/* split.c: places pictures into train, val and test. Called by the importer.
 * Invariant: the outcome depends on seed, names, classes and contents alone,
 * never on the order of files or of workers. */
#include "data/split.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/bytes.h"
#include "data/looks.h"

#include <locale.h>
#include <math.h>
#include <regex.h>
#include <string.h>

/* A picture while it is placed. */
typedef struct {
    mq_entry *entry;
    size_t team;         /* its representative in the union of those that stay together */
    const char *group;   /* what the source calls its group, or group_by matched; NULL: none; the entry's */
    uint32_t group_size; /* bytes of group */
    bool alike;          /* it was joined with another one by their looks */
    bool in_group;       /* one of its team has a group or is alike */
    const uint8_t *key; /* that of the picture of its team with the smallest digest; borrowed from an entry */
} member;

/* The state of a placement. */
typedef struct {
    member *members; /* in the order of the manifest */
    size_t count;
    size_t *order;   /* indexes of members, sorted for the step at hand */
    uint32_t *folds; /* of each team; 0: not drawn */
} placement;

/* Follows representatives, shortening the way. */
static size_t find_team(member *members, size_t i) {
    while (members[i].team != i) i = members[i].team = members[members[i].team].team;
    return i;
}

static void join_teams(member *members, size_t a, size_t b) {
    a = find_team(members, a);
    b = find_team(members, b);
    if (a != b) members[a > b ? a : b].team = a < b ? a : b;
}

static int compare_content(const void *a, const void *b, void *context) {
    const member *members = context, *x = &members[*(const size_t *)a], *y = &members[*(const size_t *)b];
    return memcmp(x->entry->digest, y->entry->digest, MQ_SHA256_SIZE);
}

/* Those without group last. */
static int compare_group(const void *a, const void *b, void *context) {
    const member *members = context, *x = &members[*(const size_t *)a], *y = &members[*(const size_t *)b];
    if (!x->group || !y->group) return (y->group != NULL) - (x->group != NULL);
    if (x->group_size != y->group_size) return x->group_size < y->group_size ? -1 : 1;
    return memcmp(x->group, y->group, x->group_size);
}

/* By class, then by the team's key, then team, then name: teams lie together. */
static int compare_place(const void *a, const void *b, void *context) {
    const member *members = context, *x = &members[*(const size_t *)a], *y = &members[*(const size_t *)b];
    if (x->entry->class != y->entry->class) return x->entry->class < y->entry->class ? -1 : 1;
    const int by_key = memcmp(x->key, y->key, MQ_SHA256_SIZE);
    return by_key ? by_key : strcmp(x->entry->name, y->entry->name);
}

/* The groups that the source itself gives. */
static void take_groups(placement *p) {
    for (size_t i = 0; i < p->count; i++) {
        member *m = &p->members[i];
        m->group = m->entry->group;
        m->group_size = m->group ? (uint32_t)strlen(m->group) : 0;
    }
}

/* By bytes: what a pattern matches is to hang on no user's locale. */
static mq_status match_bytes(mq_err *err, const char *pattern, placement *p, size_t *matched) {
    regex_t regex;
    char why[128];
    const int failed = regcomp(&regex, pattern, REG_EXTENDED);
    if (failed) {
        regerror(failed, &regex, why, sizeof why);
        return mq_fail(err, MQ_USAGE, "--group-by %s: %s", pattern, why);
    }
    for (size_t i = 0; i < p->count; i++) {
        member *m = &p->members[i];
        regmatch_t match[2];
        if (regexec(&regex, m->entry->name, 2, match, 0) != 0) continue;
        ++*matched;
        if (m->group) continue;
        const regmatch_t *part = match[1].rm_so >= 0 ? &match[1] : &match[0];
        m->group = m->entry->name + part->rm_so;
        m->group_size = (uint32_t)(part->rm_eo - part->rm_so);
    }
    regfree(&regex);
    return MQ_OK;
}

static mq_status match_groups(mq_err *err, const char *pattern, placement *p, size_t *matched) {
    const locale_t plain = newlocale(LC_CTYPE_MASK, "C", (locale_t)0);
    if (!plain) return mq_fail(err, MQ_NO_MEMORY, "no memory for a locale");
    const locale_t before = uselocale(plain);
    const mq_status status = match_bytes(err, pattern, p, matched);
    uselocale(before);
    freelocale(plain);
    return status;
}

static void join_contents(placement *p) {
    qsort_r(p->order, p->count, sizeof *p->order, compare_content, p->members);
    for (size_t i = 1; i < p->count; i++)
        if (compare_content(&p->order[i - 1], &p->order[i], p->members) == 0)
            join_teams(p->members, p->order[i - 1], p->order[i]);
}

/* Joins contents that look nearly the same, and counts those of each look but for one. */
static mq_status join_looks(mq_err *err, placement *p, mq_split_found *found) {
    mq_status status = MQ_OK;
    mq_phash *looks = NULL;
    uint32_t *group = NULL;
    size_t *firsts = NULL, count = 0; /* a member of each content that shows something */
    MQ_TRY(mq_calloc(err, p->count, sizeof *looks, "looks", &looks));
    MQ_TRY(mq_calloc(err, p->count, sizeof *group, "looks", &group));
    MQ_TRY(mq_calloc(err, p->count, sizeof *firsts, "looks", &firsts));
    for (size_t i = 0; i < p->count; i++) {
        const mq_phash look = p->members[i].entry->look;
        if (p->members[i].team != i || (!look.upright && !look.mirrored)) continue;
        looks[count] = look;
        firsts[count++] = i;
    }
    const mq_looks_plan plan = {sizeof plan, looks, count};
    MQ_TRY(mq_looks_group(err, &plan, group, &found->crowded));
    for (size_t i = 0; i < count; i++) {
        if (group[i] == i) continue;
        p->members[firsts[i]].alike = p->members[firsts[group[i]]].alike = true;
        join_teams(p->members, firsts[i], firsts[group[i]]);
        found->near++;
    }
cleanup:
    free(looks);
    free(group);
    free(firsts);
    return status;
}

/* Joins groups and sets every team's key. *groups counts them. */
static void build_teams(placement *p, size_t *groups) {
    member *members = p->members;
    qsort_r(p->order, p->count, sizeof *p->order, compare_group, members);
    for (size_t i = 0; i < p->count && members[p->order[i]].group; i++) {
        const bool same = i && compare_group(&p->order[i - 1], &p->order[i], members) == 0;
        if (same) join_teams(members, p->order[i - 1], p->order[i]);
        *groups += !same;
    }
    /* The smallest of the digests, and not of the keys: those are drawn, and of more the smallest is smaller,
     * so that large teams would come first. */
    qsort_r(p->order, p->count, sizeof *p->order, compare_content, members);
    for (size_t i = 0; i < p->count; i++) {
        const member *m = &members[p->order[i]];
        member *team = &members[find_team(members, p->order[i])];
        if (!team->key) team->key = m->entry->key;
        team->in_group |= m->group || m->alike;
    }
    for (size_t i = 0; i < p->count; i++) {
        const member *team = &members[find_team(members, i)];
        members[i].key = team->key;
        members[i].in_group = team->in_group;
    }
}

/* A team takes the split that one of its pictures has already, test before val before train: what was ever
 * tested on is not trained on. */
static mq_status follow_placed(mq_err *err, placement *p) {
    mq_status status = MQ_OK;
    mq_split *placed = NULL;
    MQ_TRY(mq_calloc(err, p->count, sizeof *placed, "splits", &placed));
    for (size_t i = 0; i < p->count; i++) placed[i] = MQ_SPLITS;
    for (size_t i = 0; i < p->count; i++) {
        const mq_split split = p->members[i].entry->split;
        mq_split *team = &placed[find_team(p->members, i)];
        if (split == MQ_SPLITS) continue;
        if (*team == MQ_SPLITS || split > *team) *team = split;
    }
    for (size_t i = 0; i < p->count; i++) {
        const size_t team = find_team(p->members, i);
        mq_entry *entry = p->members[i].entry;
        if (entry->split == MQ_SPLITS) entry->split = placed[team];
    }
cleanup:
    free(placed);
    return status;
}

/* What the source, or the import before, has torn apart: where a team is torn it is by the looks that joined
 * it, unless it has groups. */
static mq_status count_torn(mq_err *err, placement *p, mq_split_found *found) {
    mq_status status = MQ_OK;
    bool *torn = NULL, *grouped = NULL; /* of each team */
    size_t *way = NULL;                 /* the order of contents */
    MQ_TRY(mq_calloc(err, p->count, sizeof *torn, "splits", &torn));
    MQ_TRY(mq_calloc(err, p->count, sizeof *grouped, "splits", &grouped));
    MQ_TRY(mq_calloc(err, p->count, sizeof *way, "splits", &way));
    for (size_t i = 0; i < p->count; i++) {
        const size_t team = find_team(p->members, i);
        way[i] = i;
        grouped[team] |= p->members[i].group != NULL;
        if (p->members[i].entry->split != p->members[team].entry->split) torn[team] = true;
    }
    qsort_r(way, p->count, sizeof *way, compare_content, p->members);
    for (size_t begin = 0, end; begin < p->count; begin = end) {
        const mq_split split = p->members[way[begin]].entry->split;
        bool apart = false;
        for (end = begin; end < p->count && !compare_content(&way[begin], &way[end], p->members); end++)
            apart |= p->members[way[end]].entry->split != split;
        if (apart)
            found->copies += end - begin;
        else if (torn[find_team(p->members, way[begin])])
            *(grouped[find_team(p->members, way[begin])] ? &found->torn : &found->apart) += end - begin;
    }
cleanup:
    free(torn);
    free(grouped);
    free(way);
    return status;
}

/* Pictures in split from of the team that begins at order[i], none where an earlier import has placed one of
 * them there; *next is where it ends. */
static size_t count_team(const placement *p, size_t i, size_t end, mq_split from, size_t *next) {
    const uint8_t *key = p->members[p->order[i]].key;
    size_t count = 0, k = i;
    bool known = false;
    for (; k < end && p->members[p->order[k]].key == key; k++) {
        const mq_entry *entry = p->members[p->order[k]].entry;
        count += entry->split == from;
        known |= entry->split == from && entry->known;
    }
    *next = k;
    return known ? 0 : count;
}

/* Draws whole teams of the class order[begin..end) from split from (MQ_SPLITS: not placed) into split to
 * until it holds wanted pictures. A team is moved in all classes at once. A group that would exceed wanted by
 * more than is missing is passed over. */
static void draw(placement *p, size_t begin, size_t end, mq_split from, mq_split to, size_t wanted) {
    size_t have = 0;
    for (size_t i = begin; i < end; i++) have += p->members[p->order[i]].entry->split == to;
    for (size_t i = begin, next; i < end && have < wanted; i = next) {
        const size_t size = count_team(p, i, end, from, &next), missing = wanted - have;
        if (!size) continue;
        if (p->members[p->order[i]].in_group && size > missing && size - missing > missing) continue;
        for (size_t k = i; k < next; k++) {
            mq_entry *entry = p->members[p->order[k]].entry;
            if (entry->split == from) entry->split = to;
        }
        have += size;
    }
}

static size_t count_split(const placement *p, size_t begin, size_t end, mq_split split) {
    size_t count = 0;
    for (size_t i = begin; i < end; i++) count += p->members[p->order[i]].entry->split == split;
    return count;
}

/* Gives the last team that was drawn back to train, from val before test. */
static void feed_train(placement *p, size_t begin, size_t end, const bool *fixed) {
    for (mq_split from = MQ_VAL; from <= MQ_TEST; from++) {
        for (size_t i = end; i-- > begin;) {
            if (p->members[p->order[i]].entry->split != from || fixed[p->order[i]]) continue;
            const uint8_t *key = p->members[p->order[i]].key;
            for (size_t k = begin; k < end; k++) {
                mq_entry *entry = p->members[p->order[k]].entry;
                if (p->members[p->order[k]].key == key && !fixed[p->order[k]]) entry->split = MQ_TRAIN;
            }
            return;
        }
    }
}

/* Places one class, order[begin..end). fixed says which members were placed before anything was drawn. */
static void place_class(placement *p, size_t begin, size_t end, const mq_split_rule *rule,
                        const mq_manifest *manifest, bool *fixed) {
    size_t pool = 0; /* pictures the rule counts: free ones and those it placed earlier */
    for (size_t i = begin; i < end; i++) {
        const mq_entry *entry = p->members[p->order[i]].entry;
        fixed[p->order[i]] = entry->split != MQ_SPLITS;
        pool += entry->split == MQ_SPLITS || entry->kept;
    }
    if (!manifest->sets_split[MQ_TEST])
        draw(p, begin, end, MQ_SPLITS, MQ_TEST, (size_t)llround(rule->test * (double)pool));
    const size_t others = end - begin - count_split(p, begin, end, MQ_TEST);
    const size_t val = (size_t)llround(rule->val * (double)others);
    if (!manifest->sets_split[MQ_VAL]) {
        draw(p, begin, end, MQ_SPLITS, MQ_VAL, val);
        if (manifest->sets_split[MQ_TRAIN]) draw(p, begin, end, MQ_TRAIN, MQ_VAL, val);
    }
    draw(p, begin, end, MQ_SPLITS, MQ_TRAIN, SIZE_MAX);
    if (count_split(p, begin, end, MQ_TRAIN) == 0) feed_train(p, begin, end, fixed);
}

/* Adds what the shares of one class, order[begin..end), come to: test's before it is placed (pool: those the
 * rule counts, with what earlier classes have drawn), val's of what is not test then. */
static void add_wanted(const mq_manifest *manifest, double share, size_t pool, mq_split split,
                       mq_split_found *found) {
    if (!manifest->sets_split[split]) found->wanted[split] += (size_t)llround(share * (double)pool);
}

/* Teams that reach into several classes: the later class follows the earlier one. */
static mq_status place_all(mq_err *err, placement *p, const mq_split_rule *rule, const mq_manifest *manifest,
                           mq_split_found *found) {
    mq_status status = MQ_OK;
    bool *fixed = NULL;
    mq_split *drawn = NULL; /* of each team, once a class has placed it */
    MQ_TRY(mq_calloc(err, p->count, sizeof *fixed, "splits", &fixed));
    MQ_TRY(mq_calloc(err, p->count, sizeof *drawn, "splits", &drawn));
    for (size_t i = 0; i < p->count; i++) drawn[i] = MQ_SPLITS;
    for (size_t begin = 0, end; begin < p->count; begin = end) {
        const uint32_t class = p->members[p->order[begin]].entry->class;
        size_t pool = 0;
        for (end = begin; end < p->count && p->members[p->order[end]].entry->class == class; end++) {
            mq_entry *entry = p->members[p->order[end]].entry;
            pool += entry->split == MQ_SPLITS || entry->kept;
            if (entry->split == MQ_SPLITS) entry->split = drawn[find_team(p->members, p->order[end])];
        }
        add_wanted(manifest, rule->test, pool, MQ_TEST, found);
        place_class(p, begin, end, rule, manifest, fixed);
        add_wanted(manifest, rule->val, end - begin - count_split(p, begin, end, MQ_TEST), MQ_VAL, found);
        for (size_t i = begin; i < end; i++)
            drawn[find_team(p->members, p->order[i])] = p->members[p->order[i]].entry->split;
    }
cleanup:
    free(fixed);
    free(drawn);
    return status;
}

/* The fold that needs pictures of a class most. */
static uint32_t emptiest(const size_t *of_class, const size_t *all, uint32_t folds) {
    uint32_t best = 0;
    for (uint32_t f = 1; f < folds; f++)
        if (of_class[f] < of_class[best] || (of_class[f] == of_class[best] && all[f] < all[best])) best = f;
    return best + 1;
}

/* order[begin..end) is one class, whose teams lie together. */
static void fold_class(placement *p, size_t begin, size_t end, uint32_t folds, size_t *counts) {
    size_t *of_class = counts, *all = counts + folds;
    memset(of_class, 0, folds * sizeof *of_class);
    for (size_t i = begin; i < end; i++) {
        const mq_entry *entry = p->members[p->order[i]].entry;
        if (entry->fold) of_class[entry->fold - 1]++;
    }
    for (size_t i = begin; i < end; i++) {
        mq_entry *entry = p->members[p->order[i]].entry;
        if (entry->split != MQ_TRAIN || entry->fold) continue;
        uint32_t *team = &p->folds[find_team(p->members, p->order[i])];
        if (!*team) *team = emptiest(of_class, all, folds);
        entry->fold = *team;
        of_class[*team - 1]++;
        all[*team - 1]++;
    }
}

static mq_status fold_all(mq_err *err, placement *p, uint32_t folds) {
    mq_status status = MQ_OK;
    size_t *counts = NULL; /* [2 folds]: of the class in work, and of all */
    MQ_TRY(mq_calloc(err, 2 * (size_t)folds, sizeof *counts, "folds", &counts));
    MQ_TRY(mq_calloc(err, p->count, sizeof *p->folds, "folds", &p->folds));
    for (size_t i = 0; i < p->count; i++) {
        mq_entry *entry = p->members[i].entry;
        if (entry->split != MQ_TRAIN || entry->fold > folds) entry->fold = 0;
        if (!entry->fold) continue;
        counts[folds + entry->fold - 1]++;
        p->folds[find_team(p->members, i)] = entry->fold;
    }
    for (size_t begin = 0, end; begin < p->count; begin = end) {
        const uint32_t class = p->members[p->order[begin]].entry->class;
        for (end = begin; end < p->count && p->members[p->order[end]].entry->class == class;) end++;
        fold_class(p, begin, end, folds, counts);
    }
cleanup:
    free(counts);
    return status;
}

static mq_status set_key(mq_err *err, uint64_t seed, mq_entry *entry) {
    uint8_t text[8 + MQ_SHA256_SIZE];
    mq_write_u64(text, seed);
    memcpy(text + 8, entry->digest, MQ_SHA256_SIZE);
    return mq_sha256(err, text, sizeof text, entry->key);
}

mq_status mq_split_place(mq_err *err, const mq_split_rule *rule, mq_manifest *manifest,
                         mq_split_found *found) {
    mq_status status = MQ_OK;
    placement p = {0};
    *found = (mq_split_found){0};
    MQ_TRY(mq_calloc(err, manifest->count, sizeof *p.members, "splits", &p.members));
    MQ_TRY(mq_calloc(err, manifest->count, sizeof *p.order, "splits", &p.order));
    for (size_t i = 0; i < manifest->count; i++) {
        if (manifest->entries[i].reason) continue;
        p.members[p.count] = (member){.entry = &manifest->entries[i], .team = p.count};
        p.order[p.count] = p.count;
        MQ_TRY(set_key(err, rule->seed, &manifest->entries[i]));
        p.count++;
    }
    take_groups(&p);
    if (rule->group_by) MQ_TRY(match_groups(err, rule->group_by, &p, &found->matched));
    join_contents(&p);
    MQ_TRY(join_looks(err, &p, found));
    build_teams(&p, &found->groups);
    MQ_TRY(follow_placed(err, &p));
    qsort_r(p.order, p.count, sizeof *p.order, compare_place, p.members);
    MQ_TRY(place_all(err, &p, rule, manifest, found));
    MQ_TRY(count_torn(err, &p, found));
    if (rule->folds) MQ_TRY(fold_all(err, &p, rule->folds));
cleanup:
    free(p.folds);
    free(p.members);
    free(p.order);
    return status;
}
