/* windows.c: the kernels of windows.h. Called by the training programs and dnn_own.c. Owns nothing.
 * Invariant: every variant rounds at the same places, so all give the same bytes. */
#include "net/windows.h"

#include "net/vec.h"

/* By way of 16 bits, for which there are instructions. */
BODY void get_places(words *place, const uint8_t *p, size_t n) {
    if (n == LANES)
        *place = __builtin_convertvector(__builtin_convertvector(*(const bytes *)p, halves), words);
    else
        for (size_t k = 0; k < n; k++) (*place)[k] = p[k];
}

BODY void put_places(const words *place, uint8_t *p, size_t n) {
    if (n == LANES)
        *(bytes *)p = __builtin_convertvector(__builtin_convertvector(*place, halves), bytes);
    else
        for (size_t k = 0; k < n; k++) p[k] = (uint8_t)(*place)[k];
}

/* Neighbours along one side. */
typedef struct {
    size_t first, end;
} span;

/* Places of window `at` inside a side of so many pixels. */
BODY span inside(const mq_window *w, size_t at, size_t before, size_t pixels) {
    const size_t begin = at * w->stride;
    return (span){begin < before ? before - begin : 0, least(w->kernel, pixels + before - begin)};
}

/* The windows that read pixel `at`, which only goes up; their corners lie at most kernel - 1 before it. */
BODY void follow(const mq_window *w, size_t at, size_t windows, span *s) {
    while (s->first * w->stride + w->kernel <= at) s->first++;
    while (s->end < windows && s->end * w->stride <= at) s->end++;
}

/* Places are wanted; usual: windows of 3 x 3 pixels every second pixel, over the channels of a block, if
 * block, else over whole vectors of them. */
typedef struct {
    bool placed, usual;
    size_t block;
} pool_flags;

BODY bool is_usual_pool(const mq_window *w, size_t block) {
    return is_usual(w->c, block) && w->kernel == 3 && w->stride == 2;
}

/* The window by value: a store may alias it, but not this. */
BODY mq_window own_window(const mq_window *window, pool_flags f) {
    mq_window own = *window;
    if (f.usual) own.kernel = 3, own.stride = 2;
    if (f.block) own.c = f.block;
    return own;
}

/* n channels of the pixels that a window sees: number i of a is the first, at the window's places y and x. */
typedef struct {
    const void *a;
    size_t i, n;
    span y, x;
} sight;

/* The largest of them, and where it stood. */
BODY void largest(const mq_window *w, const sight *s, number_format format, vec *best, words *place) {
    size_t row = s->i;
    vec v;
    get(best, s->a, row, s->n, format);
    *place = (words){0} + (uint32_t)(s->y.first * w->kernel + s->x.first);
    for (size_t ky = s->y.first; ky < s->y.end; ky++, row += w->w * w->c)
        for (size_t kx = s->x.first, at = row; kx < s->x.end; kx++, at += w->c) {
            get(&v, s->a, at, s->n, format);
            const words more = (words)(v > *best) | (words)(v != v);
            const words here = (words){0} + (uint32_t)(ky * w->kernel + kx);
            *best = (vec)(((words)v & more) | ((words)*best & ~more));
            *place = (here & more) | (*place & ~more);
        }
}

BODY void max_pool_rows(const mq_window *window, const void *a, void *out, uint8_t *places,
                        number_format format, pool_flags f) {
    const mq_window own = own_window(window, f), *const w = &own;
    for (size_t row = 0, to = 0; row < w->out_h; row++) {
        const span y = inside(w, row, w->top, w->h);
        for (size_t column = 0; column < w->out_w; column++, to += w->c) {
            const span x = inside(w, column, w->left, w->w);
            const size_t at_y = row * w->stride + y.first - w->top,
                         at_x = column * w->stride + x.first - w->left;
            for (size_t c = 0; c < w->c; c += LANES) {
                sight s = {a, (at_y * w->w + at_x) * w->c + c, lanes_at(c, w->c, f.usual), y, x};
                vec best;
                words place;
                if (f.usual && y.end - y.first == 3 && x.end - x.first == 3) { /* constants: no loops */
                    s.y = s.x = (span){0, 3};
                    largest(w, &s, format, &best, &place);
                } else {
                    largest(w, &s, format, &best, &place);
                }
                put(&best, out, to + c, s.n, format);
                if (f.placed) put_places(&place, places + to + c, s.n);
            }
        }
    }
}

BODY void max_pool_body(const mq_window *window, const void *a, void *out, uint8_t *places,
                        number_format format, size_t block) {
    if (is_usual_pool(window, block) && places)
        max_pool_rows(window, a, out, places, format, (pool_flags){true, true, block});
    else if (is_usual_pool(window, block))
        max_pool_rows(window, a, out, places, format, (pool_flags){false, true, block});
    else if (is_usual_pool(window, 0) && !places) /* for use also channels last */
        max_pool_rows(window, a, out, places, format, (pool_flags){false, true, 0});
    else
        max_pool_rows(window, a, out, places, format, (pool_flags){places, false, 0});
}

/* A pixel, and the windows that read it. */
typedef struct {
    size_t y, x; /* from the corner of the padding on */
    span rows, columns;
} reading;

/* The arguments of the pass; format and whole are constants. */
typedef struct {
    const mq_window *w;
    const void *a;
    const uint8_t *places;
    void *out;
    number_format format;
    bool whole;
} back_pass;

/* n channels of a window's gradient, from number `at` on, and the places it chose. */
BODY void get_choice(const back_pass *p, size_t at, size_t n, vec *g, words *place) {
    *place = (words){0};
    get(g, p->a, at, n, p->format);
    get_places(place, p->places + at, n);
}

/* sum += g where it chose the place `here`. */
BODY void add_chosen(vec *sum, const vec *g, const words *place, uint32_t here) {
    *sum += (vec)((words)*g & (words)(*place == here));
}

/* It gets, from number `to` of out on, the gradients of the windows that chose it, added in their order. */
BODY void pixel_back(const back_pass *p, const reading *r, size_t to) {
    const mq_window *w = p->w;
    for (size_t c = 0; c < w->c; c += LANES) {
        const size_t n = lanes_at(c, w->c, p->whole);
        vec sum = {0}, g;
        words place;
        for (size_t i = r->rows.first; i < r->rows.end; i++)
            for (size_t k = r->columns.first; k < r->columns.end; k++) {
                get_choice(p, (i * w->out_w + k) * w->c + c, n, &g, &place);
                add_chosen(&sum, &g, &place,
                           (uint32_t)((r->y - i * w->stride) * w->kernel + r->x - k * w->stride));
            }
        put(&sum, p->out, to + c, n, p->format);
    }
}

/* The same of a pixel of an even column and its neighbour, of a usual pool: windows `column` - 1 and `column`
 * read it, the latter alone reads its neighbour. */
BODY void pair_back(const back_pass *p, const reading *r, size_t column, size_t to, size_t rows) {
    const mq_window *w = p->w;
    for (size_t c = 0; c < w->c; c += LANES) {
        vec even = {0}, odd = {0}, g;
        words place;
        for (size_t i = 0; i < rows; i++) {
            const size_t at = ((r->rows.first + i) * w->out_w + column) * w->c + c;
            const uint32_t here = (uint32_t)((r->y - (r->rows.first + i) * 2) * 3);
            get_choice(p, at - w->c, LANES, &g, &place);
            add_chosen(&even, &g, &place, here + 2);
            get_choice(p, at, LANES, &g, &place);
            add_chosen(&even, &g, &place, here);
            add_chosen(&odd, &g, &place, here + 1);
        }
        put(&even, p->out, to + c, LANES, p->format);
        put(&odd, p->out, to + w->c + c, LANES, p->format);
    }
}

BODY void max_pool_back_rows(const back_pass *args, pool_flags f) {
    const mq_window own = own_window(args->w, f), *const w = &own;
    const back_pass pass = {w, args->a, args->places, args->out, args->format, f.usual}, *const p = &pass;
    const size_t bottom = w->h + w->top, right = w->w + w->left;
    reading r = {.y = w->top};
    for (size_t to = 0; r.y < bottom; r.y++) {
        follow(w, r.y, w->out_h, &r.rows);
        const size_t rows = r.rows.end - r.rows.first;
        r.columns = (span){0, 0};
        for (r.x = w->left; r.x < right;) {
            const size_t column = r.x / 2;
            const bool pair = f.usual && rows > 0 && r.x % 2 == 0 && column > 0 && column < w->out_w &&
                              r.x + 1 < right;
            if (pair && rows == 1) {
                pair_back(p, &r, column, to, 1);
            } else if (pair) {
                pair_back(p, &r, column, to, 2);
            } else {
                follow(w, r.x, w->out_w, &r.columns);
                pixel_back(p, &r, to);
            }
            r.x += 1 + pair;
            to += (1 + pair) * w->c;
        }
    }
}

BODY void max_pool_back_body(const mq_window *window, const void *a, const uint8_t *places, void *out,
                             number_format format, size_t block) {
    const back_pass pass = {window, a, places, out, format, false};
    if (is_usual_pool(window, block))
        max_pool_back_rows(&pass, (pool_flags){true, true, block});
    else
        max_pool_back_rows(&pass, (pool_flags){true, false, 0});
}

/* All kernels for one instruction set and number format, and their table. */
#define KERNELS(name, target, format, block)                                                                 \
    target static void max_pool_##name(const mq_window *w, const void *a, void *out, uint8_t *places) {      \
        max_pool_body(w, a, out, places, format, block);                                                     \
    }                                                                                                        \
    target static void max_pool_back_##name(const mq_window *w, const void *a, const uint8_t *places,        \
                                            void *out) {                                                     \
        max_pool_back_body(w, a, places, out, format, block);                                                \
    }                                                                                                        \
    static const mq_window_kernels kernels_##name = {                                                        \
        max_pool_##name,                                                                                     \
        max_pool_back_##name,                                                                                \
    };
VEC_VARIANTS(KERNELS)

#define ENTRY(name, target, format, block) [VARIANT_##name] = &kernels_##name,
static const mq_window_kernels *const all[] = {VEC_VARIANTS(ENTRY)};

const mq_window_kernels *mq_window_kernels_of(mq_dtype dtype) {
    return all[vec_variant_of(dtype)];
}
