/* strassen.h: 1x1 convolutions by steps of 1, in f32, by seven eighths of the products: one step of
 * Strassen's algorithm in Winograd's form (Huang, Smith, Henry and van de Geijn, Strassen's Algorithm
 * Reloaded, SC16).
 *
 * C [pixels, channels written] = A [pixels, channels read] B, each in four quarters, is
 *   S1 = A21 + A22, S2 = S1 - A11, S3 = A11 - A21, S4 = A12 - S2
 *   T1 = B12 - B11, T2 = B22 - T1, T3 = B22 - B12, T4 = B21 - T2
 *   U = A11 B11 + S2 T2, V = U + S3 T3, W = S1 T1
 *   C11 = A11 B11 + A12 B21, C21 = V + A22 T4, C22 = V + W, C12 = U + W + S4 B22
 * Rounding errors are some three times as large as those of a plain sum.
 *
 * Tensors lie in blocks of MQ_BLOCK channels ([c / block][pixels][block]). Where pixels or blocks written are
 * odd, the halves overlap by one; where blocks read are, the second half is shorter. */
#ifndef MQ_STRASSEN_H
#define MQ_STRASSEN_H

#include "net/graph.h"

/* A convolution of one picture, or its gradient by data. */
typedef struct {
    size_t pixels, read, written; /* read, written: channels */
} mq_strassen;

/* Whether it takes these sizes on this processor, and is worth it. */
bool mq_strassen_suits(const mq_strassen *strassen);

/* Bytes of the weights as it wants them: sums of quarters, 7/4 of the weights. */
size_t mq_strassen_weights(const mq_strassen *strassen);

/* Lays them out. The weight from channel r to channel w is weights[r read_step + w written_step]. */
void mq_strassen_lay_out(const mq_strassen *strassen, const float *weights, size_t read_step,
                         size_t written_step, float *laid);

/* Bytes of the scratch memory, which begins on a 64-byte boundary. */
size_t mq_strassen_scratch(const mq_strassen *strassen);

/* written = read times the weights as laid out. */
void mq_strassen_run(const mq_strassen *strassen, const float *read, const float *laid, float *written,
                     void *scratch);

#endif
