/* program_impl.h: a program's insides, shared by program.c (which runs it) and lower_*.c (which make it). */
#ifndef MQ_PROGRAM_IMPL_H
#define MQ_PROGRAM_IMPL_H

#include "net/depthwise.h"
#include "net/dnn.h"
#include "net/plan.h"
#include "net/program.h"
#include "net/quant.h"

/* Buffers that are not in the arena: they are bound when the program runs. */
enum { MQ_BUFFER_NONE, MQ_BUFFER_INPUT, MQ_BUFFER_OUTPUT, MQ_BUFFERS_FIXED };

/* Where a convolution's weights come from. */
typedef enum {
    MQ_WEIGHTS_NONE,
    MQ_WEIGHTS_DENSE,
    MQ_WEIGHTS_DEPTHWISE,
    MQ_WEIGHTS_POINTWISE,
    MQ_WEIGHTS_SCALE /* of the channels of what is made u8 */
} mq_weights_kind;

/* A depthwise convolution of our own, before a product; or one of single pixels, which makes another
 * convolution's source u8. */
typedef struct {
    mq_depthwise_fn run;
    mq_window window;
    mq_dtype dtype; /* of its source */
    bool quantised; /* the result is u8 */
    bool relu;      /* of the source */
} mq_depth_step;

typedef struct {
    mq_kernel *kernel; /* owned; NULL: depth */
    mq_kernel *joint;  /* the same for all threads at once, owned; NULL: there is none */
    mq_depth_step depth;
    size_t buffers[MQ_SLOTS]; /* of the slots that hold activations or scratch; else MQ_BUFFER_NONE */
    mq_weights_kind weights;
    const mq_node *conv, *norm;            /* norm is folded in; NULL: none. Borrowed from the graph */
    size_t weights_at, bias_at, scales_at; /* offsets in the program's weights */
    size_t rows;                           /* of a strip (strips.h); 0: the step does whole pictures */
    bool grouped;                          /* its kernels do a whole group of pictures, as one tall picture */
    const char *name;                      /* of the node it ends with; borrowed from the graph */
} mq_step;

/* What one thread needs to run pictures by itself. */
typedef struct {
    mq_dnn *dnn;
    mq_call **calls;     /* one for each step */
    mq_call **joint;     /* and one for its joint kernel */
    uint8_t *arena;      /* the program's */
    size_t first, count; /* the pictures it took last: a group or the rest of one, */
    size_t done;         /* and how far it came with them (program.c, run_next) */
} mq_worker;

/* What one thread needs to do strips. */
typedef struct {
    mq_dnn *dnn;
    mq_call **calls; /* one for each step that is the second of a pair */
    uint8_t *strip;  /* a strip's depthwise result, then scratch; the program's */
} mq_hand;

struct mq_program {
    mq_graph *graph; /* owned: names of steps */
    mq_dnn *dnn;
    mq_step *steps;
    size_t step_count, step_capacity;
    mq_lifetime *buffers; /* by buffer number; the first MQ_BUFFERS_FIXED are empty */
    size_t buffer_count, buffer_capacity;
    size_t group;  /* pictures that a worker takes at once */
    size_t tail;   /* the first step over few pixels; up to it pictures of a group go one after the other */
    size_t *pitch; /* by buffer number: bytes from one picture of a group to the next; 0: one place for all */
    uint8_t *own;  /* memory of weights and arenas; NULL: they lie in the plan's room */
    uint8_t *weights;                  /* in it, or there */
    size_t weights_bytes, arena_bytes; /* arena_bytes: of one worker */
    size_t arenas_at;                  /* where those begin behind weights */
    size_t running_bytes;              /* of all that a run needs */
    size_t loader_count;               /* threads that lay weights out */
    mq_worker *workers;
    size_t worker_count;
    mq_hand *hands; /* one for each thread, where there are strips; the first are the workers' */
    size_t hand_count, strip_bytes;
    bool shared;     /* all threads work on one picture */
    bool joint;      /* or may go on with it at any step */
    size_t in_size;  /* numbers of one picture */
    mq_shape output; /* of one result */
    char key[MQ_NUMBERS_SIZE];
    char *prefix; /* owned */
};

/* Fills an empty program with steps, and places of buffers and weights. */
MQ_MUST_USE mq_status mq_lower_infer(mq_err *err, const mq_program_plan *plan, mq_program *program);

/* What the products of a step's convolution are multiplied by where it is quantised [filters], batch norm
 * included. */
void mq_lower_scales(const mq_program_plan *plan, const mq_step *step, const mq_quant *quant, float *scales);

/* Gives the weights, biases and scales of all steps their places in one block of program->weights_bytes. */
void mq_lower_places(mq_program *program);

/* Says to a call of a step's kernel where its weights lie. */
MQ_MUST_USE mq_status mq_lower_bind(mq_err *err, const mq_program *program, const mq_step *step,
                                    mq_call *call);

/* Folds, converts and lays out the weights of every step into program->weights. From program->arenas_at on
 * the block is scratch memory meanwhile, mq_lower_scratch bytes. */
size_t mq_lower_scratch(const mq_program *program);
MQ_MUST_USE mq_status mq_lower_weights(mq_err *err, const mq_program_plan *plan, mq_program *program);

#endif
