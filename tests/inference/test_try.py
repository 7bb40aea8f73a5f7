import time
def test_all(runs, settings):
    for name in settings:
        t=time.time(); m=runs(name); print(name, round(time.time()-t,2), m.run.tokenizer.get_vocab_size())
    from lit_transformer.inference.evaluate import evaluate
    for name in ("translation","answers","bert classes","gpt text","choices","choices text","t5 text"):
        t=time.time(); print(name, {k:round(v,3) for k,v in evaluate(runs(name).path,"test").items()}, round(time.time()-t,2))
