# Smith et al. 2022, Using DeepSpeed and Megatron to Train Megatron-Turing NLG 530B, sections 2.2 and 3: 420 nodes of 8 A100.
torchrun --nnodes=420 --nproc_per_node=8 pretrain_gpt.py \
  --num-layers=105 --hidden-size=20480 --num-attention-heads=128 \
  --seq-length=2048 --max-position-embeddings=2048 --vocab-size=50257 \
  --tensor-model-parallel-size=8 --pipeline-model-parallel-size=35 --sequence-parallel \
  --micro-batch-size=1 --global-batch-size=1920 --train-samples=131835938 \
  --optimizer=adam --adam-beta1=0.9 --adam-beta2=0.95 --adam-eps=1e-8 \
  --lr=5.0e-5 --min-lr=5.0e-6 --lr-decay-style=cosine --lr-warmup-samples=488281 \
  --weight-decay=0.1 --clip-grad=1.0 --init-method-std=0.004 --bf16 \
  --recompute-granularity=full --recompute-method=uniform --recompute-num-layers=1
