/* mat.h: reads MATLAB files of level 5 (MathWorks, MAT-File Format, "Level 5 MAT-File Format"): numbers,
 * text, cells and structs, compressed or not, little endian. Level 4, big-endian and v7.3 files (HDF5) are
 * refused. */
#ifndef MQ_MAT_H
#define MQ_MAT_H

#include "base/status.h"

typedef enum { MQ_MAT_NUMBERS, MQ_MAT_TEXT, MQ_MAT_CELL, MQ_MAT_STRUCT, MQ_MAT_OTHER } mq_mat_kind;

typedef struct mq_mat mq_mat;
typedef struct mq_mat_value mq_mat_value; /* belongs to its file */

/* Reads a file of at most 64 MB that unpacks to at most 64 MB; *mat is the caller's. */
MQ_MUST_USE mq_status mq_mat_open(mq_err *err, const char *path, mq_mat **mat);
void mq_mat_free(mq_mat **mat);

/* The variable called name; borrowed, NULL when there is none. */
const mq_mat_value *mq_mat_get(const mq_mat *mat, const char *name);

mq_mat_kind mq_mat_kind_of(const mq_mat_value *value);

/* Elements: numbers, cells or structs; of text 1. */
size_t mq_mat_count(const mq_mat_value *value);

/* What lies in a cell, or in a field of one struct of an array, counted in MATLAB's order; borrowed, NULL
 * when there is none. */
const mq_mat_value *mq_mat_cell(const mq_mat_value *value, size_t index);
const mq_mat_value *mq_mat_field(const mq_mat_value *value, size_t index, const char *name);

/* A number, whatever type it is stored as; false when value is NULL or no such number. */
bool mq_mat_number(const mq_mat_value *value, size_t index, double *number);

/* Text as UTF-8 without NUL; borrowed, NULL when value is NULL or no text. */
const char *mq_mat_text(const mq_mat_value *value);

#endif
