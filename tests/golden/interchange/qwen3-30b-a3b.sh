# Qwen Team 2025, Qwen3 Technical Report, table 2; huggingface.co/Qwen, config.json of the model;
# training arguments as in Megatron-LM's examples for experts, on 32 GPUs.
torchrun --nnodes 4 --nproc-per-node 8 pretrain_gpt.py \
  --num-layers 48 --hidden-size 2048 --ffn-hidden-size 6144 --num-attention-heads 32 --kv-channels 128 \
  --group-query-attention --num-query-groups 4 --qk-layernorm \
  --normalization RMSNorm --norm-epsilon 1e-6 --swiglu --disable-bias-linear \
  --untie-embeddings-and-output-weights --position-embedding-type rope --rotary-base 1000000 \
  --seq-length 4096 --max-position-embeddings 40960 --vocab-size 151936 \
  --num-experts 128 --moe-ffn-hidden-size 768 --moe-router-topk 8 \
  --moe-router-load-balancing-type global_aux_loss --moe-aux-loss-coeff 1e-3 --moe-grouped-gemm \
  --tensor-model-parallel-size 1 --expert-tensor-parallel-size 1 --pipeline-model-parallel-size 1 \
  --expert-model-parallel-size 8 --sequence-parallel --micro-batch-size 1 --global-batch-size 512 \
  --train-iters 10000 --lr 3e-4 --min-lr 3e-5 --lr-decay-style cosine --lr-warmup-iters 200 \
  --adam-beta2 0.95 --weight-decay 0.1 --use-distributed-optimizer --bf16 \
  --recompute-granularity full --recompute-method uniform --recompute-num-layers 1
