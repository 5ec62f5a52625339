/* unit.h: what every unit test begins with. cmocka wants these headers first.
 * Run with CMOCKA_MESSAGE_OUTPUT=TAP, as scripts/test does. */
#ifndef MQ_UNIT_H
#define MQ_UNIT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Asserts that a call succeeds, and shows its sentence when it does not. */
#define assert_ok(err, call)                                                                                 \
    do {                                                                                                     \
        if ((call) != MQ_OK) fail_msg("%s", (err).text);                                                     \
    } while (0)

/* |a - b| / |b| over all elements. */
static inline double relative(const float *a, const double *b, size_t count) {
    double error = 0.0, norm = 0.0;
    for (size_t i = 0; i < count; i++) {
        error += (a[i] - b[i]) * (a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return sqrt(error / norm);
}

#endif
