# Llama Team 2024, The Llama 3 Herd of Models, table 3; Megatron-LM, examples/llama/train_llama3_8b_h100_fp8.sh.
torchrun --nnodes 1 --nproc_per_node 8 pretrain_gpt.py \
  --use-mcore-models --num-layers 32 --hidden-size 4096 --ffn-hidden-size 14336 \
  --num-attention-heads 32 --group-query-attention --num-query-groups 8 --kv-channels 128 \
  --seq-length 8192 --max-position-embeddings 131072 --position-embedding-type rope \
  --rotary-base 500000 --rotary-percent 1.0 --use-rope-scaling --rope-scaling-factor 8.0 \
  --attention-dropout 0.0 --hidden-dropout 0.0 --swiglu --init-method-std 0.0134 \
  --normalization RMSNorm --disable-bias-linear --untie-embeddings-and-output-weights \
  --vocab-size 128256 --micro-batch-size 1 --global-batch-size 128 --train-samples 1953125000 \
  --lr-decay-samples 1949218748 --lr-warmup-samples 3906252 --lr 0.00015 --min-lr 0.00001 \
  --lr-decay-style cosine --clip-grad 1.0 --weight-decay 0.1 --adam-beta1 0.9 --adam-beta2 0.95 --bf16 \
  --tensor-model-parallel-size 1 --context-parallel-size 2 --pipeline-model-parallel-size 1 \
  --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather --attention-backend fused \
  --fp8-format hybrid --fp8-amax-history-len 1024 --fp8-amax-compute-algo max --fp8-param-gather \
  --cross-entropy-loss-fusion --calculate-per-token-loss --manual-gc
