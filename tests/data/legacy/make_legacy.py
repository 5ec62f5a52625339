#!/usr/bin/env python3
"""Writes the small legacy .h5 files beside it: one network of eight layers as Keras 1, 2, tf.keras and 3 laid it out,
and files that must be refused, with good.txt and bad.txt (file, expected layers, words) to list them.

    python3 tests/data/legacy/make_legacy.py        (h5py 3.14, numpy)

The layouts follow save_weights_to_hdf5_group of keras 1.2.2 (engine/topology.py), 2.2 (engine/saving.py), tf.keras 1.13
to 2.11 (saving/hdf5_format.py) and keras 3 (legacy/saving/legacy_h5_format.py). Each number of the network is layer +
parameter / 8 + index / 4096, as in tests/data/weights; tests/unit/test_legacy.c knows the same rule.
"""
import pathlib

import h5py
import numpy as np

OUT = pathlib.Path(__file__).parent
BN = ("gamma", "beta", "moving_mean", "moving_variance")
LAYERS = (
    ("block1_conv1", {"kernel": (3, 3, 2, 3)}),
    ("block1_conv1_bn", dict.fromkeys(BN, (3,))),
    ("block2_sepconv1", {"depthwise_kernel": (3, 3, 3, 1), "pointwise_kernel": (1, 1, 3, 4)}),
    ("block2_sepconv1_bn", dict.fromkeys(BN, (4,))),
    ("conv2d", {"kernel": (1, 1, 3, 4)}),
    ("batch_normalization", dict.fromkeys(BN, (4,))),
    ("conv2d_1", {"kernel": (1, 1, 4, 5)}),
    ("batch_normalization_1", dict.fromkeys(BN, (5,))),
)
KERAS1 = {"kernel": "W", "moving_mean": "running_mean", "moving_variance": "running_std"}
FORMER = {"conv2d": "convolution2d", "batch_normalization": "batchnormalization"}
HEAD = ("predictions", ("kernel", np.zeros((5, 2), "f4")), ("bias", np.zeros(2, "f4")))


def values(layer, param, shape):
    return (layer + param / 8 + np.arange(int(np.prod(shape))) / 4096).astype("f4").reshape(shape)


def network():
    """[name, (param, numbers), ...] of each layer."""
    return [[name, *((param, values(i, p, shape)) for p, (param, shape) in enumerate(params.items()))]
            for i, (name, params) in enumerate(LAYERS)]


def first():
    return network()[:1]


def unnamed(name):
    """Kind and counter of a name that Keras chose."""
    kind, _, number = name.rpartition("_")
    if name in FORMER:
        return name, 0
    return (kind, int(number)) if kind in FORMER else (None, 0)


def renumbered(first, kinds=None):
    """The network with other counters, as if it were built later in a session, or with other names for the kinds."""
    layers = network()
    for layer in layers:
        kind, number = unnamed(layer[0])
        if kind:
            number += first
            layer[0] = (kinds or {}).get(kind, kind) + (f"_{number}" if number else "")
    return layers


def trainable_first(layers, frozen=()):
    """(layer, param, numbers) in the order of a nested model's weights: the trainable ones first."""
    flat = [(layer[0], param, data) for layer in layers for param, data in layer[1:]]
    fixed = [row for row in flat if row[1].startswith("moving") or row[0] in frozen]
    return [row for row in flat if not any(row is other for other in fixed)] + fixed


def fixed(texts):
    """Fixed length, as numpy and h5py 2 wrote lists; a list of bytes becomes texts of any length in h5py 3."""
    return np.array([t.encode() for t in texts])


def write_group(group, weights, texts=fixed, put=None):
    """weights: (name, numbers) in order."""
    group.attrs["weight_names"] = texts([name for name, _ in weights]) if weights else []
    for name, data in weights:
        (put or h5py.Group.create_dataset)(group, name, data=data)


def write_model(group, layers, weight="{layer}/{param}:0", texts=fixed, put=None):
    """One group for each layer; a layer without parameters in between, as there always is."""
    rows = [layers[0], ["block1_conv1_act"], *layers[1:]]
    group.attrs["layer_names"] = texts([row[0] for row in rows])
    for row in rows:
        write_group(group.create_group(row[0]),
                    [(weight.format(layer=row[0], param=param), data) for param, data in row[1:]], texts, put)


def write_nested(group, name, weights, around=()):
    """A model whose layer name is itself a model; weights are (name, numbers)."""
    group.attrs["layer_names"] = fixed(["input_1", name, *(row[0] for row in around)])
    write_group(group.create_group("input_1"), [])
    write_group(group.create_group(name), weights)
    for row in around:
        write_group(group.create_group(row[0]), [(f"{row[0]}/{p}:0", data) for p, data in row[1:]])


def keras1_names(layers, end=":0"):
    return [[row[0], *((f"{row[0]}_{KERAS1.get(p, p)}{end}", data) for p, data in row[1:])] for row in layers]


def former():
    return renumbered(1, FORMER)


def keras1_whole(file):
    """model.save of Keras 1: a whole model, no keras_version but at the root, names without scopes."""
    file.attrs["keras_version"] = b"1.2.2"
    file.attrs["model_config"] = b'{"class_name": "Model"}'
    file.create_group("optimizer_weights")["Variable:0"] = np.zeros(3, "f4")
    write_model(file.create_group("model_weights"), keras1_names(former()), "{param}")


def keras1_nested(file, end=":0"):
    rows = [(f"{layer}_{KERAS1.get(p, p)}{end}", data) for layer, p, data in trainable_first(former())]
    write_nested(file, "model_1", rows)


def keras1_counted(file):
    """Built second in a session: TensorFlow counted the variables on, as in Keras' published VGG16."""
    keras1_nested(file, "_1:0")


def keras1_places(file):
    """Theano's variables had no names: only their places tell what they are."""
    layers = [[row[0], *((f"param_{i}", data) for i, (_, data) in enumerate(row[1:]))] for row in former()]
    write_model(file, layers, "{param}")


def keras2_whole(file):
    """A trained model of Keras 2 with its head and Adam's numbers, in a session that had one before."""
    file.attrs["keras_version"] = b"2.2.4"
    file.attrs["backend"] = b"tensorflow"
    file.attrs["model_config"] = b'{"class_name": "Model"}'
    file.attrs["training_config"] = b"{}"
    write_group(file.create_group("optimizer_weights"), [("training/Adam/Variable:0", np.zeros(3, "f4"))])
    group = file.create_group("model_weights")
    group.attrs["keras_version"] = b"2.2.4"
    group.attrs["backend"] = b"tensorflow"
    write_model(group, [*renumbered(9), list(HEAD)], "{layer}_1/{param}:0")


def keras2_nested(file):
    """A network loaded beside another one of its names: every scope is counted on."""
    rows = trainable_first(renumbered(1), ("block1_conv1", "conv2d_1"))
    write_nested(file, "xception", [(f"{layer}_1/{p}:0", data) for layer, p, data in rows], [HEAD])


def tf2_graph(file):
    """As before in tf.keras, which numbers from none: conv2d became conv2d_2, conv2d_1 conv2d_1_1."""
    rows = trainable_first(network(), ("conv2d", "batch_normalization"))
    names = {name: f"{name}_2" if name in FORMER else f"{name}_1" for name, _ in LAYERS}
    write_nested(file, "model", [(f"{names[layer]}/{p}:0", data) for layer, p, data in rows])


def keras2_distributed(file):
    write_nested(file, "time_distributed_1", [(f"time_distributed_1/{layer}/{p}:0", data)
                                              for layer, p, data in trainable_first(renumbered(1))])


def around_rows():
    """An unnamed convolution and normalisation before the network, and one behind it."""
    own = [("conv2d_7", "kernel", np.zeros((1, 1, 2, 2), "f4"))]
    own += [("batch_normalization_7", p, np.zeros(2, "f4")) for p in BN]
    behind = [("conv2d_10", "kernel", np.zeros((1, 1, 5, 5), "f4"))]
    return own, trainable_first(renumbered(8)), behind


def tf2_deep(file):
    """Sequential([Sequential([conv, norm, network, conv])]) of tf.keras 2: all in one group, no scopes."""
    own, inner, behind = around_rows()
    write_nested(file, "sequential_1", [(f"{layer}/{p}:0", data) for layer, p, data in own + inner + behind])


def tf2_scopes(file):
    """The same in a subclassed model: scopes tell the models."""
    own, inner, behind = around_rows()
    rows = [(f"net/{layer}/{p}:0", data) for layer, p, data in own]
    rows += [(f"net/xception/{layer}/{p}:0", data) for layer, p, data in inner]
    write_nested(file, "net", rows + [(f"net/{layer}/{p}:0", data) for layer, p, data in behind])


def tf2_half(file):
    """Beside the network the half of a second one, of the same names in another scope."""
    rows = [("one", *row) for row in trainable_first(renumbered(8))]
    rows += [("two", layer, p, data + 100) for layer, p, data in trainable_first(renumbered(8)[2:])]
    write_nested(file, "net", [(f"net/{scope}/{layer}/{p}:0", data) for scope, layer, p, data in rows])


def tf113(file):
    write_model(file, renumbered(3, {"batch_normalization": "batch_normalization_v1"}))


def keras3(file):
    """Keras 3's legacy saver under h5py 3: no ":0", top-level weights, texts of any length. One is too long to be a
    name, and is passed over."""
    file.attrs["keras_version"] = "3.15.1"
    layers = [*renumbered(0), ["head/dense", *HEAD[1:]]]
    write_model(file, layers, "{layer}/{param}", lambda texts: [t.encode() for t in texts])
    write_group(file.create_group("top_level_model_weights"), [])
    file.attrs["layer_names"] = [*file.attrs["layer_names"], 5000 * "x"]


def split(file):
    """Lists too long for one attribute, and a lone text as a scalar."""
    write_model(file, renumbered(4))
    parts = np.array_split(file.attrs["layer_names"], 3)
    del file.attrs["layer_names"]
    for i, part in enumerate(parts):
        file.attrs[f"layer_names{i}"] = part
    group = file["batch_normalization_5"]
    parts = np.array_split(group.attrs["weight_names"], 2)
    del group.attrs["weight_names"]
    for i, part in enumerate(parts):
        group.attrs[f"weight_names{i}"] = part
    group = file["conv2d_4"]
    group.attrs["weight_names"] = "conv2d_4/kernel:0"


def unlisted(file):
    """Neither layer_names nor weight_names, as when tools copy groups without their attributes. Ten layers of a kind,
    so that the order of names is not that of numbers."""
    layers = renumbered(9)
    write_model(file, layers)
    write_group(file.create_group("top_level_model_weights"), [("conv2d_8/kernel:0", np.zeros((1, 1, 3, 4), "f4"))])
    file.visititems(lambda _, item: item.attrs.pop("weight_names", None))
    del file.attrs["layer_names"]


def unlisted_nested(file):
    write_nested(file, "xception", [(f"{layer}/{p}:0", data) for layer, p, data in trainable_first(renumbered(9))])
    del file["xception"].attrs["weight_names"]


def list_in_list(file):
    """A layer's group that is a model of groups."""
    file.attrs["layer_names"] = fixed(["input_1", "xception"])
    write_group(file.create_group("input_1"), [])
    write_model(file.create_group("xception"), renumbered(2))


def padded(pad, charset):
    """Texts of fixed length, filled up with blanks or ended by NUL."""
    def write(file):
        write_model(file, renumbered(1))
        for group in (file, *file.values()):
            for name in ("layer_names", "weight_names"):
                texts = list(group.attrs.get(name, []))
                if not texts:
                    continue
                size = max(map(len, texts)) + 3
                kind = h5py.h5t.C_S1.copy()
                kind.set_size(size)
                kind.set_strpad(pad)
                kind.set_cset(charset)
                fill = b" " if pad == h5py.h5t.STR_SPACEPAD else b"\0"
                data = np.array([t.ljust(size, fill) for t in texts], f"S{size}")
                del group.attrs[name]
                attr = h5py.h5a.create(group.id, name.encode(), kind, h5py.h5s.create_simple((len(texts),)))
                attr.write(data, mtype=kind)
    return write


def storage(file):
    """Each layer stored in another way; what is stored in 16 bits is exact there."""
    ways = iter((
        {"dtype": ">f2"}, {"dtype": ">f4"},
        {"dtype": "f8", "chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"dtype": ">f8"}, {"chunks": (1, 1, 2, 3), "fletcher32": True}, {"dtype": "f8"}, {"compact": True},
        {"chunks": (2,), "maxshape": (None,), "compression": 9}))
    how = {row[0]: next(ways) for row in renumbered(0)}

    def put(group, name, data):
        way = dict(how[group.name[1:]])
        if not way.pop("compact", False):
            group.create_dataset(name, data=data, **way)
            return
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        links.set_create_intermediate_group(True)
        space = h5py.h5s.create_simple(data.shape)
        h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F32LE, space, plist, links).write(
            h5py.h5s.ALL, h5py.h5s.ALL, data)
    write_model(file, renumbered(0), put=put)


def links(file):
    """Groups and numbers behind soft links, from the root and from beside; one that leads nowhere harms nobody."""
    write_model(file, network())
    file.move("conv2d", "kept")
    file["conv2d"] = h5py.SoftLink("/./kept")
    group = file["conv2d_1/conv2d_1"]
    group.move("kernel:0", "numbers")
    group["kernel:0"] = h5py.SoftLink("numbers")
    file["nowhere"] = h5py.SoftLink("/nothing/there")


GOOD = (keras1_whole, keras1_counted, keras1_nested, keras1_places, keras2_whole, keras2_nested, keras2_distributed,
        tf2_graph, tf2_deep, tf2_scopes, tf2_half, tf113, keras3, split, unlisted, unlisted_nested, list_in_list, storage,
        links)


def two_networks(file):
    rows = trainable_first(network())
    write_nested(file, "both", [(f"{scope}/{layer}/{p}:0", data) for scope in ("rgb", "flow")
                                for layer, p, data in rows])


def two_runs(file):
    rows = trainable_first(network()) + [row for row in trainable_first(renumbered(2)) if row[0].startswith("conv2d")]
    write_nested(file, "both", [(f"{layer}/{p}:0", data) for layer, p, data in rows])


def lost_order(file):
    """TensorFlow's names of a second network, and one more of the shape of conv2d: which is it?"""
    tf2_graph(file)
    rows = [(name, file[f"model/{name}"][...]) for name in file["model"].attrs["weight_names"].astype(str)]
    file.clear()
    write_nested(file, "model", [*rows, ("conv2d_5/kernel:0", np.zeros((1, 1, 3, 4), "f4"))])


def two_of_a_name(file):
    rows = [(f"{layer}/{p}:0", data) for layer, p, data in trainable_first(network())]
    write_nested(file, "both", [*rows, ("block1_conv1_1/kernel:0", np.zeros((3, 3, 2, 3), "f4"))])


def theano(file):
    write_model(file, network())
    file.attrs["backend"] = b"theano"


def channels_first(file):
    layers = network()
    for row in layers:
        row[1:] = [(p, data.transpose(3, 2, 0, 1) if data.ndim == 4 else data) for p, data in row[1:]]
    write_model(file, keras1_names(layers), "{param}")


def with_bias(file):
    layers = network()
    layers[0].append(("bias", np.zeros(3, "f4")))
    write_model(file, layers)


def other_network(file):
    layers = network()
    layers[2][0] = "block9_sepconv1"
    layers[0][1] = ("kernel", np.zeros((3, 3, 2, 7), "f4"))
    write_model(file, [*layers, list(HEAD)])


def one_kernel(put):
    """block1_conv1 alone, its kernel put otherwise; put(file, group, name)."""
    def write(file):
        write_model(file, first())
        group = file["block1_conv1/block1_conv1"]
        del group["kernel:0"]
        put(file, group, "kernel:0")
    return write


def kernel_of(data, **how):
    return one_kernel(lambda _, group, name: group.create_dataset(name, data=data, **how))


def wide(number):
    data = values(0, 0, (3, 3, 2, 3)).astype("f8")
    data[1, 2, 0, 1] = number
    return data


def missing_piece(_, group, name):
    dataset = group.create_dataset(name, (3, 3, 2, 3), "f4", chunks=(1, 3, 2, 3))
    dataset[0] = 1
    dataset[2] = 1


def waste(_, group, name):
    """Pieces of 24 MB around 216 bytes, of zeros that deflate makes small."""
    dataset = group.create_dataset(name, (3, 3, 2, 3), "f4", chunks=(3, 3, 2, 1 << 18), maxshape=(3, 3, 2, None),
                                   compression=9)
    dataset[...] = 0


def link_circle(_, group, name):
    group[name] = h5py.SoftLink("/block1_conv1/block1_conv1/other")
    group["other"] = h5py.SoftLink(name)


def link_out(file, group, name):
    file["way"] = h5py.ExternalLink("elsewhere.h5", "/")
    group[name] = h5py.SoftLink("/way/kernel")


def control_characters(file):
    write_model(file, first())
    del file["block1_conv1"]
    name = "block1_conv1/a\nb\x1b[31mc"
    write_group(file.create_group("block1_conv1"), [(name, values(0, 0, (3, 3, 2, 3)).astype("i4"))])


def group_circle(file):
    write_model(file, first())
    group = file["block1_conv1"]
    del group.attrs["weight_names"]
    group["again"] = group


def group_bomb(file):
    """Three ways round in each group: 3^11 names in a dozen."""
    write_model(file, first())
    group = file["block1_conv1"]
    del group.attrs["weight_names"]
    for name in "abc":
        inner = group.require_group("a")
        inner[name + name] = inner


def long_way(file):
    write_model(file, first())
    group = file["block1_conv1"]
    group["again"] = group
    group.attrs["weight_names"] = fixed(["again/" * 80 + "block1_conv1/kernel:0"])


def list_circle(file):
    file.attrs["layer_names"] = fixed(["again"])
    file["again"] = file["/"]


def numbers_for_texts(file):
    write_model(file, first())
    file.attrs["layer_names"] = np.arange(8)


def lists_for_ever(file):
    """66,000 texts in two attributes, each of them allowed."""
    file.attrs["layer_names0"] = np.zeros(33000, "S1")
    file.attrs["layer_names1"] = np.zeros(33000, "S1")


BAD = {  # held against the whole network
    two_networks: "holds 2 models with the shape of legacy",
    two_runs: "holds more than one layer that may be conv2d of legacy",
    lost_order: "holds more than one layer that may be conv2d of legacy",
    two_of_a_name: "holds more than one layer that may be block1_conv1 of legacy",
    theano: "was saved by Keras on Theano",
    channels_first: "5 of its kernels are stored with the channels first",
    with_bias: "1 are missing, 0 have another shape, and 0 other layers are there: block1_conv1/kernel "
               "(its layer has 2 variables for 1)",
    other_network: "of 21 tensors 2 are missing, 1 have another shape, and 2 other layers are there: "
                   "block1_conv1/kernel [3,3,2,7] for [3,3,2,3], block2_sepconv1/depthwise_kernel, block2_sepconv1/pointwise_kernel, "
                   "block9_sepconv1, predictions",
}
BAD_ONE = {  # held against block1_conv1 alone
    "out_of_range": (kernel_of(wide(1e39)), "holds 1e+39, which is out of the range of float32"),
    "wide_nan": (kernel_of(wide(np.nan)), "holds a number that is not finite"),
    "missing_piece": (one_kernel(missing_piece), "holds 2 of the 3 pieces"),
    "waste": (one_kernel(waste), "is stored in impossible pieces"),
    "bytes": (kernel_of(np.zeros((3, 3, 2, 3), "u1")), "are no floats of 16, 32 or 64 bits"),
    "link_circle": (one_kernel(link_circle), "leads in a circle"),
    "link_out": (one_kernel(link_out), "its entry way is a link to elsewhere"),
    control_characters: "block1_conv1/a?b?[31mc are no floats",
    group_circle: "nests groups more than 12 deep",
    group_bomb: "nests groups more than 12 deep",
    long_way: "nests groups more than 64 deep",
    list_circle: "nests more than 12 models",
    numbers_for_texts: "its attribute layer_names is not a list of texts",
    lists_for_ever: "its attribute layer_names1 lists more than 65536 texts",
}


def write(name, how):
    with h5py.File(OUT / name, "w", libver="latest") as file:
        how(file)


def damaged(words):
    """Files that h5py cannot write: changed bytes of good ones."""
    data = bytearray((OUT / "storage.h5").read_bytes())
    at = data.index(values(4, 0, (1, 1, 3, 4))[0, 0, :2, :3].tobytes())
    data[at] ^= 1
    (OUT / "bad_checksum.h5").write_bytes(data)
    words["bad_checksum.h5"] = "8 cannot be read; the file is cut or damaged"
    data = (OUT / "keras3.h5").read_bytes()
    heap = data.index(b"GCOL\1")
    free = heap + int.from_bytes(data[heap + 8:heap + 16], "little") - 16
    while data[free:free + 8] != bytes(8) or data[free + 8:free + 16] == bytes(8):
        free -= 8
    for name, at, size, reserved in (("heap_size", heap + 24, 1 << 40, 0), ("heap_round", free + 8, 0, 0),
                                     ("heap_reserved", heap + 24, 1 << 40, 1)):
        changed = bytearray(data[:at] + size.to_bytes(8, "little") + data[at + 8:])
        changed[heap + 5] = reserved
        (OUT / f"bad_{name}.h5").write_bytes(changed)
        words[f"bad_{name}.h5"] = "1 not a readable HDF5 file"
    data = (OUT / "tf2_deep.h5").read_bytes()
    (OUT / "bad_cut.h5").write_bytes(data[:len(data) * 2 // 3])
    words["bad_cut.h5"] = "1 not a readable HDF5 file"
    with h5py.File(OUT / "bad_endless_list.h5", "w", libver=("earliest", "v110")) as file:
        file.attrs["layer_names"] = np.zeros(77, "S3")
        file.attrs["backend"] = b"tensorflow"
    data = (OUT / "bad_endless_list.h5").read_bytes()
    side = (77).to_bytes(8, "little")
    (OUT / "bad_endless_list.h5").write_bytes(data.replace(side, (1 << 40).to_bytes(8, "little")))
    words["bad_endless_list.h5"] = "1 bad_endless_list.h5: "


def main():
    for old in OUT.glob("*.h5"):
        old.unlink()
    good = {how.__name__ + ".h5": how for how in GOOD}
    good["blanks.h5"] = padded(h5py.h5t.STR_SPACEPAD, h5py.h5t.CSET_ASCII)
    good["nuls.h5"] = padded(h5py.h5t.STR_NULLTERM, h5py.h5t.CSET_UTF8)
    for name, how in good.items():
        write(name, how)
    words = {}
    for layers, table in ((len(LAYERS), BAD), (1, BAD_ONE)):
        for how, text in table.items():
            name, (how, text) = (how, text) if isinstance(how, str) else (how.__name__, (how, text))
            write(f"bad_{name}.h5", how)
            words[f"bad_{name}.h5"] = f"{layers} {text}"
    damaged(words)
    (OUT / "good.txt").write_text("".join(f"{name}\n" for name in good))
    (OUT / "bad.txt").write_text("".join(f"{name} {text}\n" for name, text in words.items()))


if __name__ == "__main__":
    main()
