# yanring/Megatron-MoE-ModelZoo, model_configs/benchmarking/Qwen3-235B-A22B.yaml, with runtime.conf and sbatch_benchmarking.sh in bf16;
# the size of the tokenizer is set.
torchrun --nnodes 32 --nproc-per-node 8 pretrain_gpt.py \
  --tensor-model-parallel-size 2 --pipeline-model-parallel-size 8 \
  --num-layers-per-virtual-pipeline-stage 3 --expert-model-parallel-size 32 \
  --context-parallel-size 1 --expert-tensor-parallel-size 1 \
  --account-for-embedding-in-pipeline-split --account-for-loss-in-pipeline-split \
  --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather --use-mcore-models \
  --sequence-parallel --use-flash-attn --disable-bias-linear --transformer-impl transformer_engine \
  --micro-batch-size 1 --global-batch-size 256 --train-samples 268554688 \
  --exit-duration-in-mins 230 --manual-gc --manual-gc-interval 5 --seq-length 4096 \
  --tokenizer-type HuggingFaceTokenizer --untie-embeddings-and-output-weights \
  --position-embedding-type rope --rotary-percent 1.0 --rotary-base 1000000 \
  --rotary-seq-len-interpolation-factor 1 --normalization RMSNorm --swiglu --norm-epsilon 1e-06 \
  --num-layers 94 --hidden-size 4096 --ffn-hidden-size 12288 --num-attention-heads 64 \
  --kv-channels 128 --group-query-attention --num-query-groups 4 --qk-layernorm \
  --max-position-embeddings 4096 --make-vocab-size-divisible-by 1187 --vocab-size 151936 \
  --attention-dropout 0.0 --hidden-dropout 0.0 --clip-grad 1.0 --weight-decay 0.1 \
  --lr-decay-samples 584765624 --lr-warmup-samples 1536000 --lr-warmup-init 3.9e-7 \
  --lr 3.9e-6 --min-lr 3.9e-7 \
  --lr-decay-style cosine --adam-beta1 0.9 --adam-beta2 0.95 \
  --num-experts 128 --moe-ffn-hidden-size 1536 --moe-router-load-balancing-type aux_loss \
  --moe-router-topk 8 --moe-grouped-gemm --moe-aux-loss-coeff 1e-3 --moe-permute-fusion \
  --moe-router-fusion --moe-router-dtype fp32 --moe-token-dispatcher-type flex \
  --moe-flex-dispatcher-backend deepep --tp-comm-overlap --no-create-attention-mask-in-dataloader \
  --cross-entropy-loss-fusion --cross-entropy-fusion-impl te --enable-experimental \
  --eval-iters 32 --eval-interval 500 --save-interval 100 --init-method-std 0.02 --log-interval 1 --bf16
