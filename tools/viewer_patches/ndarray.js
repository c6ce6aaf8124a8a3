// Takes the place of `compileConstructor` of the package ndarray, which writes its classes as text and has them
// evaluated: a page under a strict Content-Security-Policy may not do that. Same interface, no text.
// `order` and `CACHED_CONSTRUCTORS` are names of the file that this is put into.
function compileConstructor(dtype, dimension) {
  var generic = dtype === "generic";
  var whole = function (value) { return typeof value === "number" && value >= 0; };
  function View(data, shape, stride, offset) {
    this.data = data;
    this.shape = shape;
    this.stride = stride;
    this.offset = offset | 0;
  }
  var proto = View.prototype;
  var make = function (view, shape, stride, offset) { return new View(view.data, shape, stride, offset); };
  proto.dtype = dtype;
  proto.dimension = dimension;
  if (dimension === -1) {
    proto.shape = proto.stride = proto.order = [];
    proto.size = 0;
    proto.index = function () { return -1; };
    proto.lo = proto.hi = proto.transpose = proto.step = function () { return trivial(this.data); };
    proto.get = proto.set = function () {};
    proto.pick = function () { return null; };
    var trivial = function (data) {
      var view = Object.create(proto);
      view.data = data;
      return view;
    };
    return trivial;
  }
  Object.defineProperty(proto, "size", {
    get: function () { return this.shape.reduce(function (product, length) { return product * length; }, 1); }
  });
  Object.defineProperty(proto, "order", { get: order });
  proto.index = function () {
    var at = this.offset;
    for (var k = 0; k < dimension; ++k) at += this.stride[k] * arguments[k];
    return at;
  };
  if (dimension === 2 && !generic) {
    proto.get = function (i, j) { return this.data[this.offset + this.stride[0] * i + this.stride[1] * j]; };
    proto.set = function (i, j, value) {
      return (this.data[this.offset + this.stride[0] * i + this.stride[1] * j] = value);
    };
  } else {
    proto.get = function () {
      var at = this.index.apply(this, arguments);
      return generic ? this.data.get(at) : this.data[at];
    };
    proto.set = function () {
      var at = this.index.apply(this, arguments), value = arguments[dimension];
      return generic ? this.data.set(at, value) : (this.data[at] = value);
    };
  }
  proto.hi = function () {
    var shape = [];
    for (var k = 0; k < dimension; ++k) shape.push(whole(arguments[k]) ? arguments[k] | 0 : this.shape[k]);
    return make(this, shape, this.stride.slice(), this.offset);
  };
  proto.lo = function () {
    var shape = this.shape.slice(), offset = this.offset;
    for (var k = 0; k < dimension; ++k) {
      if (!whole(arguments[k])) continue;
      offset += this.stride[k] * (arguments[k] | 0);
      shape[k] -= arguments[k] | 0;
    }
    return make(this, shape, this.stride.slice(), offset);
  };
  proto.step = function () {
    var shape = this.shape.slice(), stride = this.stride.slice(), offset = this.offset;
    for (var k = 0; k < dimension; ++k) {
      if (typeof arguments[k] !== "number") continue;
      var by = arguments[k] | 0;
      if (by < 0) offset += stride[k] * (shape[k] - 1);
      shape[k] = Math.ceil(shape[k] / Math.abs(by));
      stride[k] *= by;
    }
    return make(this, shape, stride, offset);
  };
  proto.transpose = function () {
    var shape = [], stride = [];
    for (var k = 0; k < dimension; ++k) {
      var from = arguments[k] === undefined ? k : arguments[k] | 0;
      shape.push(this.shape[from]);
      stride.push(this.stride[from]);
    }
    return make(this, shape, stride, this.offset);
  };
  proto.pick = function () {
    var shape = [], stride = [], offset = this.offset;
    for (var k = 0; k < dimension; ++k) {
      if (whole(arguments[k])) {
        offset += this.stride[k] * arguments[k];
      } else {
        shape.push(this.shape[k]);
        stride.push(this.stride[k]);
      }
    }
    return CACHED_CONSTRUCTORS[dtype][shape.length + 1](this.data, shape, stride, offset);
  };
  if (dimension === 0) return function (data, shape, stride, offset) { return new View(data, [], [], offset); };
  return function (data, shape, stride, offset) {
    return new View(data, Array.prototype.slice.call(shape), Array.prototype.slice.call(stride), offset);
  };
}
