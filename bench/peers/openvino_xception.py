"""Time OpenVINO's inference of Xception. usage: openvino_xception.py {f32|bf16|int8} BATCH FOLDER
Batch 1 with its latency setting, more with its throughput setting. FOLDER keeps the converted network, which another
process makes with torch and timm (in 8 bits by NNCF), so that their memory is not counted."""
import os, resource, subprocess, sys, time
import numpy as np, openvino as ov
precision, batch = sys.argv[1], int(sys.argv[2])
file = os.path.join(sys.argv[3], 'xception-int8.xml' if precision == 'int8' else 'xception.xml')
if 'convert' in sys.argv:
    import torch, timm
    net = timm.create_model('legacy_xception', pretrained=False, num_classes=196).eval()
    model = ov.convert_model(net, example_input=torch.rand(1, 3, 299, 299))
    if precision == 'int8':
        import nncf
        model = nncf.quantize(model, nncf.Dataset([np.random.rand(1, 3, 299, 299).astype('f4') for _ in range(8)]), subset_size=8)
    ov.save_model(model, file, compress_to_fp16=False)
    sys.exit()
if not os.path.exists(file):
    subprocess.run([sys.executable, *sys.argv, 'convert'], check=True)
core = ov.Core()
model = core.read_model(file)
model.reshape([batch, 3, 299, 299])
f = core.compile_model(model, 'CPU', {'INFERENCE_PRECISION_HINT': 'bf16' if precision == 'int8' else precision,
                                      'PERFORMANCE_HINT': 'LATENCY' if batch == 1 else 'THROUGHPUT'})
x = np.random.rand(batch, 3, 299, 299).astype('f4')
requests = [f.create_infer_request() for _ in range(f.get_property('OPTIMAL_NUMBER_OF_INFER_REQUESTS'))]
def step():
    """A batch in each request that its setting wants at a time."""
    for r in requests:
        r.start_async({0: x})
    for r in requests:
        r.wait()
t = time.time(); step()
turns = int(0.25 / (time.time() - t)) + 1
times = []
for _ in range(int(os.environ.get('N', '5'))):
    t = time.time()
    for _ in range(turns):
        step()
    times.append((time.time() - t) / turns)
n = batch * len(requests)
print(f'openvino infer {precision} batch {batch}: best {n / min(times):.2f} median {n / sorted(times)[len(times) // 2]:.2f} '
      f'img/s, {len(requests)} requests, peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB')
