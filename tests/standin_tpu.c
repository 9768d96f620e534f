/* A stand-in for libedgetpu.so.1: a delegate that TFLite loads, that runs RESHAPE, and that fails on command.
 *
 * The command is the text of the file that STANDIN_TPU names: "gone" fails to open and to run, "hang" never ends a
 * run; anything else works. Each run adds a byte to that file's neighbour ".runs", each opening a line with its
 * options to ".opened". The declarations are the parts of tensorflow/lite/core/c/common.h (its ABI has been stable
 * since 2.5) that are needed here, as no package brings that header along.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum { kOk = 0, kError = 1 } Status;
typedef struct { int size; int data[]; } IntArray;
typedef struct { void *inputs, *outputs, *intermediates, *temporaries, *user_data, *rest[8]; } Node;
typedef struct Context Context;
typedef struct Delegate Delegate;

typedef struct {
  void* (*init)(Context*, const char* buffer, size_t length);
  void (*free)(Context*, void* buffer);
  Status (*prepare)(Context*, Node*);
  Status (*invoke)(Context*, Node*);
  const char* (*profiling_string)(const Context*, const Node*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* newer[8]; /* what later versions added, all zero */
} Registration;

struct Context {
  size_t tensors_size;
  Status (*GetExecutionPlan)(Context*, IntArray** plan);
  void* tensors;
  void* impl_;
  Status (*ResizeTensor)(Context*, void* tensor, IntArray* size);
  void (*ReportError)(Context*, const char* message, ...);
  Status (*AddTensors)(Context*, int count, int* first);
  Status (*GetNodeAndRegistration)(Context*, int index, Node** node, Registration** registration);
  Status (*ReplaceNodeSubsetsWithDelegateKernels)(Context*, Registration, const IntArray* nodes, Delegate*);
};

struct Delegate {
  void* data_;
  Status (*Prepare)(Context*, Delegate*);
  void* copy_from;
  void* copy_to;
  void* free_handle;
  int64_t flags;
  void* opaque_builder;
  void* newer[4];
};

typedef struct { Delegate* delegate; IntArray* nodes_to_replace; } Params;
typedef struct { Node node; Registration registration; } Original; /* copies: TFLite moves its own about */

enum { kReshape = 22 };

static int commanded(const char* what) {
  char text[64] = "";
  const char* path = getenv("STANDIN_TPU");
  FILE* file = path ? fopen(path, "r") : NULL;
  if (file == NULL) return 0;
  if (fgets(text, sizeof text, file) == NULL) text[0] = 0;
  fclose(file);
  return strncmp(text, what, strlen(what)) == 0;
}

static void note(const char* suffix, const char* text) {
  char path[4096];
  if (getenv("STANDIN_TPU") == NULL) return;
  snprintf(path, sizeof path, "%s%s", getenv("STANDIN_TPU"), suffix);
  FILE* file = fopen(path, "a");
  if (file == NULL) return;
  fputs(text, file);
  fclose(file);
}

static void* kernel_init(Context* context, const char* buffer, size_t length) {
  const Params* params = (const Params*)buffer;
  Original* original = calloc(1, sizeof *original);
  Node* node;
  Registration* registration;
  (void)length;
  if (context->GetNodeAndRegistration(context, params->nodes_to_replace->data[0], &node, &registration) == kOk) {
    memcpy(&original->node, node, sizeof original->node);
    memcpy(&original->registration, registration, offsetof(Registration, newer));
  }
  return original;
}

static void kernel_free(Context* context, void* buffer) {
  (void)context;
  free(buffer);
}

static Status kernel_prepare(Context* context, Node* node) {
  (void)context, (void)node;
  return kOk;
}

static Status kernel_invoke(Context* context, Node* node) {
  Original* original = node->user_data;
  note(".runs", ".");
  for (int i = 0; i < 3000 && commanded("hang"); i++) usleep(10000);
  if (commanded("gone") || original->registration.invoke == NULL) return kError;
  return original->registration.invoke(context, &original->node);
}

static Status prepare(Context* context, Delegate* delegate) {
  Node* node;
  Registration* registration;
  Registration kernel;
  if (commanded("gone")) return kError;
  if (context->GetNodeAndRegistration(context, 0, &node, &registration) != kOk) return kError;
  if (registration->builtin_code != kReshape) return kOk;
  memset(&kernel, 0, sizeof kernel);
  kernel.init = kernel_init;
  kernel.free = kernel_free;
  kernel.prepare = kernel_prepare;
  kernel.invoke = kernel_invoke;
  kernel.custom_name = "StandinTpu";
  kernel.version = 1;
  IntArray* nodes = malloc(sizeof(IntArray) + sizeof(int));
  nodes->size = 1;
  nodes->data[0] = 0;
  Status status = context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, nodes, delegate);
  free(nodes);
  return status;
}

Delegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count, void (*report)(const char*)) {
  char line[256] = "";
  for (size_t i = 0; i < count; i++) {
    size_t used = strlen(line);
    snprintf(line + used, sizeof line - used, "%s=%s ", keys[i], values[i]);
  }
  strncat(line, "\n", sizeof line - strlen(line) - 1);
  note(".opened", line);
  if (commanded("gone")) {
    report("no Edge TPU answers");
    return NULL;
  }
  Delegate* delegate = calloc(1, sizeof *delegate);
  delegate->Prepare = prepare;
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate* delegate) { free(delegate); }
