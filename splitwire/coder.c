/* The two loops of interpreted.py, compiled: the same symbols, the same bytes.

   read(state, words, symbols, frequencies, starts, weights, bias, zero) -> (state, words used, or -1 for too few)
   write(symbols, frequencies, starts, weights, bias, zero) -> (state, words)

   symbols: uint8 (rows, C, H, W), C-contiguous as all arrays. frequencies, starts: uint16 (C, contexts, levels), as
   SymbolTables has them, of an odd number of contexts. weights: float32 (C, 9 C), or (0, 0) for one context for each
   sum of the two neighbours in the same channel. bias: int32 (C,). What tables, weights and bias hold is believed.
   words: bytes, two for each, little-endian.

   Both raise ValueError where shapes do not fit together or a symbol is out of range, and keep the interpreter's
   lock: they are done before another thread would have had it. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

/* As in tables.py, predictor.py and rans.py. */
#define PRECISION 12
#define SLOT ((1u << PRECISION) - 1)
#define LEAST (1u << 16)
#define SHIFT 4
#define AROUND 9
#define ABOVE 1
#define LEFT 3

/* Compiled for processors that fuse a multiplication and an addition too, where that is known to work: which one runs
   is chosen when the module is loaded. */
#if defined(__GNUC__) && __GNUC__ >= 6 && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define FMA_CLONE __attribute__((target_clones("fma", "default")))
#else
#define FMA_CLONE
#endif

/* Loops over floats run on to a multiple of it, behind what they are for: what is left over would take as long. */
#define LANES 8

/* Of one call: beyond it, sizes of what is allocated here could overflow. */
#define MAX_SYMBOLS (1 << 20)

typedef struct {
    Py_buffer symbols, frequencies, starts, weights, bias;
} Arrays;

typedef struct {
    Py_ssize_t channels, height, width, contexts, levels;
    const uint16_t *frequencies, *starts;
    const float *weights; /* NULL: none from other channels */
    const int32_t *bias;
    int zero;
    float *maps;     /* (C, H + 2, W + 2): levels of the row that is being coded, each map with zeros around it */
    float *expected; /* (H, W + 2): of one channel, from those before it; two more after each line */
    int32_t *sums;   /* (W,): of one line, all that is expected but what the neighbour to the left adds */
} Coder;

static float *map_of(const Coder *coder, Py_ssize_t channel)
{
    return coder->maps + channel * (coder->height + 2) * (coder->width + 2);
}

/* `sums` += the nine neighbours of each position times their weights, in lines of `map` that are `line` apart.
   All are integers below 2^24, which float32 adds exactly, in any order, and fused too. */
FMA_CLONE static void add_neighbours(const float *w, const float *map, Py_ssize_t line, Py_ssize_t count, float *sums)
{
    const float *a = map, *b = map + line, *c = map + 2 * line;
    for (Py_ssize_t at = 0; at < count; at++)
        sums[at] += w[0] * a[at] + w[1] * a[at + 1] + w[2] * a[at + 2] + w[3] * b[at] + w[4] * b[at + 1]
            + w[5] * b[at + 2] + w[6] * c[at] + w[7] * c[at + 1] + w[8] * c[at + 2];
}

/* coder->expected of `channel`: all but the two neighbours in the same one. Its lines are as far apart as those of
   `maps`, so that they are one loop; what lies between and behind them is never read. */
static void expect(const Coder *coder, Py_ssize_t channel)
{
    const Py_ssize_t line = coder->width + 2, count = (coder->height * line - 2 + LANES - 1) / LANES * LANES;
    for (Py_ssize_t at = 0; at < count; at++)
        coder->expected[at] = (float)coder->bias[channel];
    if (!coder->weights)
        return;
    const float *weights = coder->weights + channel * AROUND * coder->channels;
    for (Py_ssize_t before = 0; before < channel; before++)
        add_neighbours(weights + AROUND * before, map_of(coder, before), line, count, coder->expected);
}

/* neighbour: ABOVE or LEFT, the two in the same channel. */
static int32_t own_weight(const Coder *coder, Py_ssize_t channel, int neighbour)
{
    return coder->weights ? (int32_t)coder->weights[channel * AROUND * (coder->channels + 1) + neighbour] : 1 << SHIFT;
}

/* coder->sums of line `i` of `channel`, for which `expect` was called: what is read symbol by symbol waits for each
   one's end, so that as little as can be is left for then. */
static void expect_line(const Coder *coder, Py_ssize_t channel, Py_ssize_t i)
{
    const Py_ssize_t line = coder->width + 2;
    const float *expected = coder->expected + i * line, *above = map_of(coder, channel) + i * line + 1;
    const float weight = (float)own_weight(coder, channel, ABOVE);
    for (Py_ssize_t j = 0; j < coder->width; j++)
        coder->sums[j] = (int32_t)(expected[j] + weight * above[j]);
}

/* Where the row of a symbol begins in the tables, by what is expected of it. */
static Py_ssize_t row_of(const Coder *coder, Py_ssize_t channel, int32_t expected)
{
    int32_t reach = (int32_t)coder->contexts / 2;
    /* Compilers that Python is built by shift the sign in: the floor. */
    int32_t context = expected >> SHIFT;
    context = context < -reach ? -reach : context > reach ? reach : context;
    return (channel * coder->contexts + context + reach) * coder->levels;
}

/* Where line `i` of `channel` begins in coder->maps. */
static float *line_of(const Coder *coder, Py_ssize_t channel, Py_ssize_t i)
{
    return map_of(coder, channel) + (i + 1) * (coder->width + 2) + 1;
}

/* The last symbol that starts at or before `slot`; levels are a power of two, and the first starts at 0. */
static Py_ssize_t symbol_at(const Coder *coder, Py_ssize_t row, uint32_t slot)
{
    const uint16_t *starts = coder->starts + row;
    /* First the one that pruning leaves most of: a search is several branches that nobody can predict. */
    if (slot - starts[coder->zero] < coder->frequencies[row + coder->zero])
        return coder->zero;
    Py_ssize_t symbol = 0;
    for (Py_ssize_t step = coder->levels >> 1; step; step >>= 1)
        if (starts[symbol + step] <= slot)
            symbol += step;
    return symbol;
}

/* One row (C, H, W): how many words were used by its end, or -1. */
static Py_ssize_t read_row(const Coder *coder, uint32_t *state, const uint8_t *words, Py_ssize_t used,
                           Py_ssize_t count, uint8_t *symbols)
{
    uint32_t x = *state;
    for (Py_ssize_t channel = 0; channel < coder->channels; channel++) {
        expect(coder, channel);
        const int32_t weight = own_weight(coder, channel, LEFT);
        for (Py_ssize_t i = 0; i < coder->height; i++) {
            expect_line(coder, channel, i);
            float *levels = line_of(coder, channel, i);
            int32_t left = 0;
            for (Py_ssize_t j = 0; j < coder->width; j++) {
                Py_ssize_t row = row_of(coder, channel, coder->sums[j] + weight * left);
                uint32_t slot = x & SLOT;
                Py_ssize_t symbol = symbol_at(coder, row, slot);
                x = coder->frequencies[row + symbol] * (x >> PRECISION) + slot - coder->starts[row + symbol];
                if (x < LEAST) {
                    if (used == count)
                        return -1;
                    x = x << 16 | words[2 * used] | (uint32_t)words[2 * used + 1] << 8;
                    used++;
                }
                left = (int32_t)symbol - coder->zero;
                levels[j] = (float)left;
                *symbols++ = (uint8_t)symbol;
            }
        }
    }
    *state = x;
    return used;
}

/* One row (C, H, W): of each symbol where it lies in the tables; -1 where one is out of range. */
static int locate_row(const Coder *coder, const uint8_t *symbols, uint32_t *at)
{
    for (Py_ssize_t channel = 0; channel < coder->channels; channel++) {
        expect(coder, channel);
        const int32_t weight = own_weight(coder, channel, LEFT);
        for (Py_ssize_t i = 0; i < coder->height; i++) {
            expect_line(coder, channel, i);
            float *levels = line_of(coder, channel, i);
            int32_t left = 0;
            for (Py_ssize_t j = 0; j < coder->width; j++, symbols++) {
                if (*symbols >= coder->levels)
                    return -1;
                *at++ = (uint32_t)(row_of(coder, channel, coder->sums[j] + weight * left) + *symbols);
                left = *symbols - coder->zero;
                levels[j] = (float)left;
            }
        }
    }
    return 0;
}

/* The last symbol first, and words from the end of `words`, which has room for one a symbol: how many they are,
   or -1 for a frequency of 0. */
static Py_ssize_t write_located(const Coder *coder, const uint32_t *at, Py_ssize_t count, uint8_t *words,
                                uint32_t *state)
{
    uint32_t x = LEAST;
    Py_ssize_t free = count;
    for (Py_ssize_t n = count - 1; n >= 0; n--) {
        uint32_t frequency = coder->frequencies[at[n]];
        if (!frequency)
            return -1;
        if (x >= (uint64_t)frequency << (32 - PRECISION)) {
            free--;
            words[2 * free] = (uint8_t)x;
            words[2 * free + 1] = (uint8_t)(x >> 8);
            x >>= 16;
        }
        x = (x / frequency << PRECISION) + x % frequency + coder->starts[at[n]];
    }
    *state = x;
    return count - free;
}

static int get_array(PyObject *object, Py_buffer *array, const char *name, int dimensions, Py_ssize_t item, int flags)
{
    if (PyObject_GetBuffer(object, array, flags | PyBUF_ND | PyBUF_C_CONTIGUOUS))
        return -1;
    if (array->ndim == dimensions && array->itemsize == item)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s: expected %d dimensions of %zd bytes an item", name, dimensions, item);
    return -1;
}

/* arguments: symbols, frequencies, starts, weights, bias. On failure, too, `release` what was taken. */
static int get_arrays(PyObject *const *arguments, Arrays *arrays, int symbol_flags)
{
    return get_array(arguments[0], &arrays->symbols, "symbols", 4, 1, symbol_flags)
        || get_array(arguments[1], &arrays->frequencies, "frequencies", 3, sizeof(uint16_t), 0)
        || get_array(arguments[2], &arrays->starts, "starts", 3, sizeof(uint16_t), 0)
        || get_array(arguments[3], &arrays->weights, "weights", 2, sizeof(float), 0)
        || get_array(arguments[4], &arrays->bias, "bias", 1, sizeof(int32_t), 0);
}

static void release(Arrays *arrays)
{
    PyBuffer_Release(&arrays->symbols);
    PyBuffer_Release(&arrays->frequencies);
    PyBuffer_Release(&arrays->starts);
    PyBuffer_Release(&arrays->weights);
    PyBuffer_Release(&arrays->bias);
}

static int fits(const Arrays *arrays, int zero)
{
    const Py_ssize_t *tables = arrays->frequencies.shape, *weights = arrays->weights.shape;
    Py_ssize_t channels = arrays->symbols.shape[1], levels = tables[2];
    return arrays->symbols.len >= 1 && arrays->symbols.len <= MAX_SYMBOLS && tables[0] == channels && tables[1] & 1 && levels >= 1
        && levels <= 256 && !(levels & (levels - 1)) && zero >= 0 && zero < levels
        && arrays->frequencies.len <= MAX_SYMBOLS * (Py_ssize_t)sizeof(uint16_t)
        && !memcmp(tables, arrays->starts.shape, 3 * sizeof *tables) && arrays->bias.shape[0] == channels
        && (!arrays->weights.len || (weights[0] == channels && weights[1] == AROUND * channels));
}

/* What is allocated: give it to `end`. */
static int begin(Coder *coder, const Arrays *arrays, int zero)
{
    if (!fits(arrays, zero)) {
        PyErr_SetString(PyExc_ValueError, "symbols, tables, weights and zero do not fit together");
        return -1;
    }
    const Py_ssize_t *shape = arrays->symbols.shape, *tables = arrays->frequencies.shape;
    *coder = (Coder){.channels = shape[1], .height = shape[2], .width = shape[3]};
    coder->contexts = tables[1];
    coder->levels = tables[2];
    coder->frequencies = arrays->frequencies.buf;
    coder->starts = arrays->starts.buf;
    coder->weights = arrays->weights.len ? arrays->weights.buf : NULL;
    coder->bias = arrays->bias.buf;
    coder->zero = zero;
    coder->maps = PyMem_Calloc(shape[1] * (shape[2] + 2) * (shape[3] + 2) + LANES, sizeof(float));
    coder->expected = PyMem_Calloc(shape[2] * (shape[3] + 2) + LANES, sizeof(float));
    coder->sums = PyMem_Calloc(shape[3], sizeof(int32_t));
    if (coder->maps && coder->expected && coder->sums)
        return 0;
    PyErr_NoMemory();
    return -1;
}

static void end(Coder *coder)
{
    PyMem_Free(coder->maps);
    PyMem_Free(coder->expected);
    PyMem_Free(coder->sums);
}

static PyObject *read_all(const Coder *coder, uint32_t state, const Py_buffer *words, const Py_buffer *symbols)
{
    Py_ssize_t row = coder->channels * coder->height * coder->width, used = 0;
    for (Py_ssize_t r = 0; r < symbols->shape[0] && used >= 0; r++)
        used = read_row(coder, &state, words->buf, used, words->len / 2, (uint8_t *)symbols->buf + r * row);
    return Py_BuildValue("(kn)", (unsigned long)state, used);
}

static PyObject *coder_read(PyObject *module, PyObject *arguments)
{
    PyObject *given[5];
    Py_buffer words;
    unsigned long long state;
    int zero;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "Ky*OOOOOi", &state, &words, &given[0], &given[1], &given[2], &given[3],
                          &given[4], &zero))
        return NULL;
    Arrays arrays = {0};
    Coder coder = {0};
    PyObject *result = NULL;
    if (state > UINT32_MAX)
        PyErr_SetString(PyExc_ValueError, "a state has 32 bits");
    else if (!get_arrays(given, &arrays, PyBUF_WRITABLE) && !begin(&coder, &arrays, zero))
        result = read_all(&coder, (uint32_t)state, &words, &arrays.symbols);
    end(&coder);
    release(&arrays);
    PyBuffer_Release(&words);
    return result;
}

/* at: room for where each symbol lies in the tables; words: for a word of each. */
static PyObject *write_all(const Coder *coder, const Py_buffer *symbols, uint32_t *at, uint8_t *words)
{
    Py_ssize_t row = coder->channels * coder->height * coder->width;
    for (Py_ssize_t r = 0; r < symbols->shape[0]; r++)
        if (locate_row(coder, (const uint8_t *)symbols->buf + r * row, at + r * row)) {
            PyErr_SetString(PyExc_ValueError, "a symbol is out of range");
            return NULL;
        }
    uint32_t state;
    Py_ssize_t count = write_located(coder, at, symbols->len, words, &state);
    if (count < 0) {
        PyErr_SetString(PyExc_ValueError, "a symbol's frequency is 0");
        return NULL;
    }
    return Py_BuildValue("(ky#)", (unsigned long)state, words + 2 * (symbols->len - count), 2 * count);
}

static PyObject *coder_write(PyObject *module, PyObject *arguments)
{
    PyObject *given[5];
    int zero;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OOOOOi", &given[0], &given[1], &given[2], &given[3], &given[4], &zero))
        return NULL;
    Arrays arrays = {0};
    Coder coder = {0};
    uint32_t *at = NULL;
    uint8_t *words = NULL;
    PyObject *result = NULL;
    if (!get_arrays(given, &arrays, 0) && !begin(&coder, &arrays, zero)) {
        at = PyMem_Calloc(arrays.symbols.len + 1, sizeof *at);
        words = PyMem_Calloc(arrays.symbols.len + 1, 2);
        result = at && words ? write_all(&coder, &arrays.symbols, at, words) : PyErr_NoMemory();
    }
    PyMem_Free(words);
    PyMem_Free(at);
    end(&coder);
    release(&arrays);
    return result;
}

static PyMethodDef methods[] = {
    {"read", coder_read, METH_VARARGS, "Words -> symbols, which are written into the array given."},
    {"write", coder_write, METH_VARARGS, "Symbols -> the final state, and words."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED}, /* nothing is shared between calls */
#endif
    {0, NULL},
};

static struct PyModuleDef coder_module = {
    PyModuleDef_HEAD_INIT, "_coder", "The entropy coder's loops, compiled.", 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__coder(void)
{
    return PyModuleDef_Init(&coder_module);
}
