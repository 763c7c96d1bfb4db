# Qwen Team 2025, Qwen3 Technical Report, table 2; huggingface.co/Qwen, config.json of the model;
# training arguments as in Megatron-LM's examples for experts, on 128 GPUs.
torchrun --nnodes 16 --nproc-per-node 8 pretrain_gpt.py \
  --num-layers 94 --hidden-size 4096 --ffn-hidden-size 12288 --num-attention-heads 64 --kv-channels 128 \
  --group-query-attention --num-query-groups 4 --qk-layernorm \
  --normalization RMSNorm --norm-epsilon 1e-6 --swiglu --disable-bias-linear \
  --untie-embeddings-and-output-weights --position-embedding-type rope --rotary-base 1000000 \
  --seq-length 4096 --max-position-embeddings 40960 --vocab-size 151936 \
  --num-experts 128 --moe-ffn-hidden-size 1536 --moe-router-topk 8 \
  --moe-router-load-balancing-type global_aux_loss --moe-aux-loss-coeff 1e-3 --moe-grouped-gemm \
  --tensor-model-parallel-size 4 --expert-tensor-parallel-size 1 --pipeline-model-parallel-size 2 \
  --expert-model-parallel-size 16 --sequence-parallel --micro-batch-size 1 --global-batch-size 512 \
  --train-iters 10000 --lr 3e-4 --min-lr 3e-5 --lr-decay-style cosine --lr-warmup-iters 200 \
  --adam-beta2 0.95 --weight-decay 0.1 --use-distributed-optimizer --bf16 \
  --recompute-granularity full --recompute-method uniform --recompute-num-layers 1
