// A device type on the CPU that is as strict as a card: its tensors do not mix with the CPU's.
//
// Memory is the host's. Every operation runs the CPU's kernel on tensors that alias that memory, so
// its numbers are those of the CPU bit for bit. What would be an error on a card is one here: a
// second operand on the CPU or on another of these devices (numbers without dimensions aside), a
// generator of the CPU, reading the memory as a NumPy array, more memory than a limit that a test may
// set, and, in deterministic mode, an operation of which a card has no deterministic kernel. Copies
// are counted, and their bytes.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/GeneratorImpl.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace {

using at::Tensor;
using c10::Device;
using c10::DeviceIndex;
using c10::DeviceType;
using c10::IValue;

constexpr DeviceType kStrict = DeviceType::PrivateUse1;
constexpr DeviceIndex kDevices = 2;
constexpr c10::DispatchKeySet kKeys{c10::DispatchKey::PrivateUse1};

thread_local DeviceIndex current = 0;

struct Copies {
  std::atomic<int64_t> to_device{0}, to_host{0}, numbers{0};
  std::atomic<int64_t> bytes_to_device{0}, bytes_to_host{0};
};
Copies copies;

Device device_of(std::optional<Device> wanted) {
  if (!wanted.has_value() || !wanted->has_index()) return Device(kStrict, current);
  TORCH_CHECK(wanted->index() < kDevices, "there is no ", *wanted, "; there are ", int(kDevices));
  return *wanted;
}

// ---- Memory ----

std::atomic<int64_t> used[kDevices], peak[kDevices];
std::atomic<int64_t> limit{0};  // 0: none

// Some of a device's memory, of its own or taken over from a kernel of the CPU.
struct Block {
  Block(DeviceIndex index, size_t bytes) : index(index), bytes(static_cast<int64_t>(bytes)) {
    const int64_t most = limit, wanted = used[index] + this->bytes;
    TORCH_CHECK_WITH(
        OutOfMemoryError, most == 0 || wanted <= most, "strict:", int(index),
        " is out of memory: ", wanted, " bytes are wanted, and it has ", most);
    const int64_t now = used[index] += this->bytes;
    int64_t before = peak[index];
    while (before < now && !peak[index].compare_exchange_weak(before, now)) {
    }
  }
  ~Block() {
    used[index] -= bytes;
    std::free(memory);
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  DeviceIndex index;
  int64_t bytes;
  void* memory = nullptr;
  c10::Storage host;
};

void release(void* block) { delete static_cast<Block*>(block); }

struct StrictAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    Device device(kStrict, current);
    if (bytes == 0) return {nullptr, nullptr, &release, device};
    auto block = std::make_unique<Block>(current, bytes);
    TORCH_CHECK(posix_memalign(&block->memory, 64, bytes) == 0, "this machine is out of memory");
    void* memory = block->memory;
    return {memory, block.release(), &release, device};
  }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
};
StrictAllocator allocator;
REGISTER_ALLOCATOR(kStrict, &allocator);

void grow(c10::StorageImpl* storage, size_t bytes) {
  const DeviceIndex before = current;
  current = storage->device().index();
  c10::DataPtr larger = allocator.allocate(bytes);
  current = before;
  const size_t kept = std::min(bytes, storage->nbytes());
  if (kept) std::memcpy(larger.get(), storage->data(), kept);
  storage->set_data_ptr_noswap(std::move(larger));
  storage->set_nbytes(bytes);
}

// ---- Devices ----

struct StrictGuard final : c10::impl::DeviceGuardImplInterface {
  DeviceType type() const override { return kStrict; }
  Device exchangeDevice(Device device) const override {
    const Device before = getDevice();
    current = device.index();
    return before;
  }
  Device getDevice() const override { return Device(kStrict, current); }
  void setDevice(Device device) const override { current = device.index(); }
  void uncheckedSetDevice(Device device) const noexcept override { current = device.index(); }
  c10::Stream getStream(Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream getDefaultStream(Device device) const override { return getStream(device); }
  c10::Stream getNewStream(Device device, int) const override { return getStream(device); }
  c10::Stream getStreamFromGlobalPool(Device device, bool) const override {
    return getStream(device);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return getStream(stream.device());
  }
  DeviceIndex deviceCount() const noexcept override { return kDevices; }
  void record(void** event, const c10::Stream&, const DeviceIndex, const c10::EventFlag)
      const override {
    *event = const_cast<StrictGuard*>(this);
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeEvent(void*) const override {}
  void synchronizeDevice(const DeviceIndex) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, StrictGuard);

// ---- Random numbers ----

struct StrictGenerator final : c10::GeneratorImpl {
  explicit StrictGenerator(DeviceIndex index)
      : GeneratorImpl(Device(kStrict, index), kKeys), inner(at::detail::createCPUGenerator()) {}
  void set_current_seed(uint64_t seed) override { inner.set_current_seed(seed); }
  void set_offset(uint64_t) override { TORCH_CHECK(false, "this generator has no offset"); }
  uint64_t get_offset() const override { TORCH_CHECK(false, "this generator has no offset"); }
  uint64_t current_seed() const override { return inner.current_seed(); }
  uint64_t seed() override { return inner.seed(); }
  void set_state(const c10::TensorImpl& state) override {
    inner.unsafeGetGeneratorImpl()->set_state(state);
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return inner.unsafeGetGeneratorImpl()->get_state();
  }
  StrictGenerator* clone_impl() const override {
    auto* copy = new StrictGenerator(device().index());
    copy->inner = inner.clone();
    return copy;
  }
  at::Generator inner;
};

std::vector<at::Generator>& default_generators() {
  static std::vector<at::Generator> all = [] {
    std::vector<at::Generator> made;
    for (DeviceIndex index = 0; index < kDevices; ++index) {
      made.push_back(at::make_generator<StrictGenerator>(index));
    }
    return made;
  }();
  return all;
}

at::Generator& inner_of(const at::Generator& generator) {
  return static_cast<StrictGenerator*>(generator.unsafeGetGeneratorImpl())->inner;
}

struct StrictHooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return kDevices; }
  DeviceIndex getCurrentDevice() const override { return current; }
  void setCurrentDevice(DeviceIndex index) const override { current = index; }
  DeviceIndex exchangeDevice(DeviceIndex index) const override {
    return std::exchange(current, index);
  }
  DeviceIndex maybeExchangeDevice(DeviceIndex index) const override {
    return exchangeDevice(index);
  }
  const at::Generator& getDefaultGenerator(DeviceIndex index) const override {
    return default_generators().at(index < 0 ? current : index);
  }
  at::Generator getNewGenerator(DeviceIndex index) const override {
    return at::make_generator<StrictGenerator>(index < 0 ? current : index);
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    grow(storage.unsafeGetStorageImpl(), bytes);
  }
};

// ---- Operations ----

bool is_strict(const Tensor& tensor) {
  return tensor.defined() && tensor.device().type() == kStrict;
}

// One call of the CPU's kernel: what it is given aliases the device's memory, and what it returns
// becomes the device's.
class Call {
 public:
  explicit Call(std::string name) : name_(std::move(name)) {}

  Device device() const { return device_.value_or(Device(kStrict, current)); }

  void want(Device device) {
    TORCH_CHECK(
        !device_.has_value() || *device_ == device,
        name_, ": expected all tensors to be on the same device, but found at least two devices, ",
        *device_, " and ", device, "!");
    device_ = device;
  }

  // What a kernel of the CPU takes for a tensor; one of the CPU without dimensions is a number.
  Tensor given(const Tensor& tensor, bool is_written, bool may_be_number) {
    if (!tensor.defined()) return tensor;
    if (!is_strict(tensor)) {
      TORCH_CHECK(
          tensor.device().is_cpu() && tensor.dim() == 0 && may_be_number && !is_written,
          name_, ": expected all tensors to be on the same device, but found at least two devices, ",
          "one of them ", tensor.device(), "!");
      return tensor;
    }
    want(tensor.device());
    if (is_written && tensor.storage().nbytes() == 0) {
      // It may be resized, which memory that is another's cannot be.
      Tensor own = at::empty(tensor.sizes(), tensor.options().device(at::kCPU));
      pairs_.push_back({own, tensor});
      return own;
    }
    Tensor alias = aliased(tensor);
    if (is_written) pairs_.push_back({alias, tensor});
    return alias;
  }

  Tensor returned(const Tensor& result) {
    if (!result.defined()) return result;
    for (auto& [host, own] : pairs_) {
      if (host.is_same(result)) return own;
    }
    return wrapped(result);
  }

  // Carries over what in-place operations did to shapes.
  void finish() {
    for (auto& [host, own] : pairs_) {
      auto* impl = own.unsafeGetTensorImpl();
      if (own.storage().nbytes() == 0 && host.storage().nbytes() != 0) {
        grow(own.storage().unsafeGetStorageImpl(), host.storage().nbytes());
        std::memcpy(own.storage().mutable_data(), host.storage().data(), host.storage().nbytes());
      }
      if (own.sizes() != host.sizes() || own.strides() != host.strides() ||
          own.storage_offset() != host.storage_offset()) {
        impl->set_sizes_and_strides(host.sizes(), host.strides(), host.storage_offset());
      }
    }
  }

 private:
  struct Shared {
    c10::Storage host, own;
  };

  Tensor aliased(const Tensor& tensor) {
    const c10::Storage& own = tensor.storage();
    const c10::Storage* host = nullptr;
    for (auto& shared : shared_) {
      if (shared.own.unsafeGetStorageImpl() == own.unsafeGetStorageImpl()) host = &shared.host;
    }
    if (host == nullptr) {
      c10::DataPtr memory(own.mutable_data(), Device(DeviceType::CPU));
      shared_.push_back(
          {c10::Storage(c10::Storage::use_byte_size_t(), own.nbytes(), std::move(memory)), own});
      host = &shared_.back().host;
    }
    Tensor alias = at::detail::make_tensor<c10::TensorImpl>(
        c10::Storage(*host), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
    auto* impl = alias.unsafeGetTensorImpl();
    impl->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
    if (tensor.dim() == 0) {
      impl->set_wrapped_number(tensor.unsafeGetTensorImpl()->is_wrapped_number());
    }
    return alias;
  }

  Tensor wrapped(const Tensor& result) {
    TORCH_CHECK(
        result.layout() == at::kStrided && result.device().is_cpu(),
        name_, ": this device has dense tensors only");
    const c10::Storage& host = result.storage();
    const c10::Storage* own = nullptr;
    for (auto& shared : shared_) {
      if (shared.host.unsafeGetStorageImpl() == host.unsafeGetStorageImpl()) own = &shared.own;
    }
    if (own == nullptr) {
      // The device takes the memory over.
      auto block = std::make_unique<Block>(device().index(), host.nbytes());
      block->host = host;
      c10::DataPtr memory(host.mutable_data(), block.release(), &release, device());
      c10::Storage made(
          c10::Storage::use_byte_size_t(), host.nbytes(), std::move(memory), &allocator, true);
      shared_.push_back({host, made});
      own = &shared_.back().own;
    }
    Tensor tensor =
        at::detail::make_tensor<c10::TensorImpl>(c10::Storage(*own), kKeys, result.dtype());
    tensor.unsafeGetTensorImpl()->set_sizes_and_strides(
        result.sizes(), result.strides(), result.storage_offset());
    return tensor;
  }

  std::string name_;
  std::optional<Device> device_;
  std::vector<Shared> shared_;
  std::vector<std::pair<Tensor, Tensor>> pairs_;
};

// The device's own default generator stands in for the CPU's while a kernel draws from the latter.
class DefaultGenerator {
 public:
  explicit DefaultGenerator(DeviceIndex index)
      : host_(at::detail::getDefaultCPUGenerator()),
        own_(inner_of(default_generators().at(index))),
        before_(state(host_)) {
    put(host_, state(own_));
  }
  ~DefaultGenerator() {
    put(own_, state(host_));
    put(host_, before_);
  }
  DefaultGenerator(const DefaultGenerator&) = delete;
  DefaultGenerator& operator=(const DefaultGenerator&) = delete;

 private:
  using State = c10::intrusive_ptr<c10::TensorImpl>;
  static State state(at::Generator& generator) {
    std::lock_guard<std::mutex> lock(generator.mutex());
    return generator.unsafeGetGeneratorImpl()->get_state();
  }
  static void put(at::Generator& generator, const State& state) {
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.unsafeGetGeneratorImpl()->set_state(*state);
  }
  at::Generator host_;
  at::Generator& own_;
  State before_;
};

// Returns whether a generator was given.
bool hand_over(const c10::FunctionSchema& schema, Call& call, c10::ArrayRef<IValue> given,
               std::vector<IValue>& taken) {
  bool has_generator = false;
  for (size_t i = 0; i < given.size(); ++i) {
    const IValue& value = given[i];
    const auto* alias = schema.arguments()[i].alias_info();
    const bool is_written = alias != nullptr && alias->isWrite();
    if (value.isTensor()) {
      taken.emplace_back(call.given(value.toTensor(), is_written, true));
    } else if (value.isTensorList()) {
      std::vector<Tensor> tensors;
      for (const Tensor& t : value.toTensorVector()) {
        tensors.push_back(call.given(t, is_written, false));
      }
      taken.emplace_back(std::move(tensors));
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<Tensor>> tensors;
      for (const std::optional<Tensor>& t : value.toOptionalTensorList().vec()) {
        tensors.push_back(
            t.has_value() ? std::optional<Tensor>(call.given(*t, is_written, false)) : t);
      }
      taken.emplace_back(std::move(tensors));
    } else if (value.isDevice()) {
      if (value.toDevice().type() == kStrict) call.want(device_of(value.toDevice()));
      taken.emplace_back(Device(DeviceType::CPU));
    } else if (value.isGenerator()) {
      at::Generator generator = value.toGenerator();
      TORCH_CHECK(
          generator.device().type() == kStrict, schema.name(), ": expected a generator of ",
          Device(kStrict), " but found one of ", generator.device());
      taken.emplace_back(inner_of(generator));
      has_generator = true;
    } else {
      taken.push_back(value);
    }
  }
  return has_generator;
}

// Operations whose kernels on a card add up in any order, and which have no others there.
const std::set<std::string> kWithoutOrder{
    "aten::_adaptive_avg_pool2d_backward", "aten::_adaptive_avg_pool3d_backward",
    "aten::adaptive_max_pool2d_backward", "aten::avg_pool3d_backward",
    "aten::max_pool3d_with_indices_backward", "aten::nll_loss2d_forward",
    "aten::upsample_linear1d_backward", "aten::upsample_bilinear2d_backward",
    "aten::upsample_bicubic2d_backward", "aten::reflection_pad1d_backward",
    "aten::reflection_pad2d_backward", "aten::replication_pad1d_backward",
    "aten::replication_pad2d_backward", "aten::grid_sampler_2d_backward", "aten::_ctc_loss",
    "aten::_ctc_loss_backward", "aten::kthvalue", "aten::histc", "aten::cumsum"};

void refuse_without_order(const std::string& name, c10::ArrayRef<IValue> given) {
  if (!at::globalContext().deterministicAlgorithms() || !kWithoutOrder.count(name)) return;
  if (name == "aten::cumsum" && !given[0].toTensor().is_floating_point()) return;
  at::globalContext().alertNotDeterministic(name.substr(name.find("::") + 2));
}

void on_host(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  const size_t count = schema.arguments().size();
  Call call(schema.name());
  torch::jit::Stack taken;
  taken.reserve(count);
  // The arguments stay alive, and with them their memory, until the results have been wrapped.
  const std::vector<IValue> given(stack->end() - count, stack->end());
  refuse_without_order(schema.name(), given);
  const bool has_generator = hand_over(schema, call, given, taken);
  if (schema.name() == "aten::_local_scalar_dense") ++copies.numbers;
  if (op.hasTag(at::Tag::nondeterministic_seeded) && !has_generator) {
    DefaultGenerator draws(call.device().index());
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &taken);
  } else {
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &taken);
  }
  call.finish();
  stack->resize(stack->size() - count);
  for (IValue& result : taken) {
    if (result.isTensor()) {
      stack->emplace_back(call.returned(result.toTensor()));
    } else if (result.isTensorList()) {
      std::vector<Tensor> tensors;
      for (const Tensor& t : result.toTensorVector()) tensors.push_back(call.returned(t));
      stack->emplace_back(std::move(tensors));
    } else {
      stack->push_back(std::move(result));
    }
  }
}

Tensor empty(
    at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<Device> device, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(device_of(device));
  return at::detail::empty_generic(size, &allocator, kKeys, c10::dtype_or_default(dtype), format);
}

Tensor empty_strided(
    at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>, std::optional<Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(device_of(device));
  return at::detail::empty_strided_generic(
      size, stride, &allocator, kKeys, c10::dtype_or_default(dtype));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  const auto bytes = static_cast<int64_t>(from.numel() * from.itemsize());
  if (is_strict(from) && !is_strict(to)) {
    ++copies.to_host;
    copies.bytes_to_host += bytes;
  }
  if (!is_strict(from) && is_strict(to)) {
    ++copies.to_device;
    copies.bytes_to_device += bytes;
  }
  // Each side has a call of its own, for they may lie on different devices.
  Call reading("copy"), writing("copy");
  Tensor source = is_strict(from) ? reading.given(from, false, false) : from;
  Tensor target = is_strict(to) ? writing.given(to, false, false) : to;
  target.copy_(source);
  return to;
}

const Tensor& resize_(
    const Tensor& self, at::IntArrayRef size, std::optional<at::MemoryFormat> format) {
  auto* impl = self.unsafeGetTensorImpl();
  impl->set_sizes_contiguous(size);
  if (format.has_value() && *format != at::MemoryFormat::Preserve) {
    impl->empty_tensor_restride(*format);
  }
  const size_t needed =
      at::detail::computeStorageNbytes(size, self.strides(), self.itemsize(), self.storage_offset());
  if (self.storage().nbytes() < needed) grow(self.storage().unsafeGetStorageImpl(), needed);
  return self;
}

Tensor& set_storage(Tensor& self, c10::Storage source, int64_t offset, at::IntArrayRef size,
                    at::IntArrayRef stride) {
  TORCH_CHECK(
      source.device() == self.device(), "set_: expected a storage on ", self.device(),
      ", but found one on ", source.device());
  auto* impl = self.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(source));
  if (stride.data() == nullptr || (stride.empty() && !size.empty())) {
    impl->set_storage_offset(offset);
    impl->set_sizes_contiguous(size);
  } else {
    impl->set_sizes_and_strides(size, stride, offset);
  }
  return self;
}

Tensor& set_whole_storage(Tensor& self, c10::Storage source) {
  const int64_t count = static_cast<int64_t>(source.nbytes() / self.itemsize());
  return set_storage(self, std::move(source), 0, {count}, {});
}

Tensor& set_tensor(Tensor& self, const Tensor& source) {
  return set_storage(
      self, source.storage(), source.storage_offset(), source.sizes(), source.strides());
}

Tensor& set_nothing(Tensor& self) {
  const c10::DeviceGuard guard(self.device());
  c10::Storage none(c10::Storage::use_byte_size_t(), 0, allocator.allocate(0), &allocator, true);
  return set_storage(self, std::move(none), 0, {0}, {});
}

Tensor convolution(
    const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
    at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
    at::IntArrayRef output_padding, int64_t groups) {
  Call call("convolution");
  const Tensor x = call.given(input, false, false), w = call.given(weight, false, false);
  const Tensor b = call.given(bias.value_or(Tensor()), false, false);
  return call.returned(at::convolution(
      x, w, b, stride, padding, dilation, transposed, output_padding, groups));
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(
    const Tensor& gradient, const Tensor& input, const Tensor& weight, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
    at::IntArrayRef output_padding, int64_t groups, std::array<bool, 3> mask) {
  Call call("convolution_backward");
  const Tensor g = call.given(gradient, false, false), x = call.given(input, false, false);
  const Tensor w = call.given(weight, false, false);
  const int64_t outputs = gradient.size(1);
  auto [to_x, to_w, to_b] = at::convolution_backward(
      g, x, w, at::OptionalIntArrayRef(at::IntArrayRef(&outputs, 1)), stride, padding, dilation,
      transposed, output_padding, groups, mask);
  return {call.returned(to_x), call.returned(to_w), call.returned(to_b)};
}

Tensor with_bias(const Tensor& gates, const std::optional<Tensor>& bias) {
  return bias.has_value() && bias->defined() ? gates + *bias : gates;
}

// Cards have one kernel for a cell of a recurrent layer, the CPU has none; both are differentiable.
std::tuple<Tensor, Tensor, Tensor> lstm_cell(
    const Tensor& input_gates, const Tensor& hidden_gates, const Tensor& cell,
    const std::optional<Tensor>& input_bias, const std::optional<Tensor>& hidden_bias) {
  const Tensor gates = with_bias(input_gates, input_bias) + with_bias(hidden_gates, hidden_bias);
  const auto parts = gates.chunk(4, 1);
  const Tensor next = parts[1].sigmoid() * cell + parts[0].sigmoid() * parts[2].tanh();
  return {parts[3].sigmoid() * next.tanh(), next, gates};
}

std::tuple<Tensor, Tensor> gru_cell(
    const Tensor& input_gates, const Tensor& hidden_gates, const Tensor& hidden,
    const std::optional<Tensor>& input_bias, const std::optional<Tensor>& hidden_bias) {
  const auto from_input = with_bias(input_gates, input_bias).chunk(3, 1);
  const auto from_hidden = with_bias(hidden_gates, hidden_bias).chunk(3, 1);
  const Tensor reset = (from_input[0] + from_hidden[0]).sigmoid();
  const Tensor update = (from_input[1] + from_hidden[1]).sigmoid();
  const Tensor next = (from_input[2] + reset * from_hidden[2]).tanh();
  return {next + update * (hidden - next), next};
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_host>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("resize_", &resize_);
  m.impl("set_.source_Storage_storage_offset", &set_storage);
  m.impl("set_.source_Storage", &set_whole_storage);
  m.impl("set_.source_Tensor", &set_tensor);
  m.impl("set_", &set_nothing);
  m.impl("convolution_overrideable", &convolution);
  m.impl("convolution_backward_overrideable", &convolution_backward);
  m.impl("_thnn_fused_lstm_cell", &lstm_cell);
  m.impl("_thnn_fused_gru_cell", &gru_cell);
  // Their kernels that write into a given tensor resize it on their way.
  m.impl("mse_loss", torch::CppFunction::makeFromBoxedFunction<&on_host>());
  m.impl("smooth_l1_loss", torch::CppFunction::makeFromBoxedFunction<&on_host>());
}

TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m) {
  m.impl("_thnn_fused_lstm_cell", &lstm_cell);
  m.impl("_thnn_fused_gru_cell", &gru_cell);
}

// Mixed precision: the same lists of operations as a card's.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
#define LOWER(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
#define FULL(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
#define FULL_OUTPUT(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
#define WIDEST(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)
  AT_FORALL_LOWER_PRECISION_FP(LOWER)
  AT_FORALL_FP32(FULL)
  AT_FORALL_FP32_SET_OPT_DTYPE(FULL_OUTPUT)
  AT_FORALL_PROMOTE(WIDEST)
}

// ---- What the Python module of the device asks for ----

int64_t device_count() { return kDevices; }
int64_t current_device() { return current; }
void set_device(int64_t index) {
  TORCH_CHECK(index >= 0 && index < kDevices, "there is no device ", index);
  current = static_cast<DeviceIndex>(index);
}
Tensor rng_state(int64_t index) { return default_generators().at(index).get_state(); }
void set_rng_state(const Tensor& state, int64_t index) {
  default_generators().at(index).set_state(state);
}
void manual_seed(int64_t seed, int64_t index) {
  default_generators().at(index).set_current_seed(static_cast<uint64_t>(seed));
}
void limit_memory(int64_t bytes) { limit = bytes; }
int64_t memory_limit() { return limit; }
int64_t used_memory(int64_t index) { return used[index]; }
int64_t peak_memory(int64_t index) { return peak[index]; }
void reset_peak_memory(int64_t index) { peak[index] = used[index].load(); }
std::vector<int64_t> counted_copies() {
  return {copies.to_device, copies.to_host, copies.numbers, copies.bytes_to_device,
          copies.bytes_to_host};
}

TORCH_LIBRARY(strict, m) {
  m.def("device_count", &device_count);
  m.def("current_device", &current_device);
  m.def("set_device", &set_device);
  m.def("rng_state", &rng_state);
  m.def("set_rng_state(Tensor state, int index) -> ()", &set_rng_state);
  m.def("manual_seed", &manual_seed);
  m.def("copies", &counted_copies);
  m.def("limit_memory", &limit_memory);
  m.def("memory_limit", &memory_limit);
  m.def("used_memory", &used_memory);
  m.def("peak_memory", &peak_memory);
  m.def("reset_peak_memory", &reset_peak_memory);
}

const bool registered = [] {
  at::RegisterPrivateUse1HooksInterface(new StrictHooks);
  return true;
}();

}  // namespace
