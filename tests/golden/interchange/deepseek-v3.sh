# yanring/Megatron-MoE-ModelZoo, model_configs/benchmarking/DeepSeek-V3.yaml, with runtime.conf and sbatch_benchmarking.sh in bf16;
# the size of the tokenizer is set.
torchrun --nnodes 128 --nproc-per-node 8 pretrain_gpt.py \
  --tensor-model-parallel-size 1 --pipeline-model-parallel-size 16 \
  --expert-model-parallel-size 64 --context-parallel-size 1 --expert-tensor-parallel-size 1 \
  --decoder-first-pipeline-num-layers 4 --decoder-last-pipeline-num-layers 1 \
  --use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather --use-mcore-models \
  --sequence-parallel --use-flash-attn --disable-bias-linear --transformer-impl transformer_engine \
  --micro-batch-size 1 --global-batch-size 8192 --train-samples 585937500 \
  --exit-duration-in-mins 220 --cross-entropy-loss-fusion --cross-entropy-fusion-impl native \
  --manual-gc --manual-gc-interval 10 --seq-length 4096 --tokenizer-type HuggingFaceTokenizer \
  --num-layers 61 --hidden-size 7168 --ffn-hidden-size 18432 --num-attention-heads 128 \
  --kv-channels 128 --max-position-embeddings 4096 --position-embedding-type rope \
  --rotary-base 10000 --make-vocab-size-divisible-by 3232 --vocab-size 129280 \
  --normalization RMSNorm --norm-epsilon 1e-6 --swiglu --untie-embeddings-and-output-weights \
  --multi-latent-attention --attention-dropout 0.0 --hidden-dropout 0.0 --clip-grad 1.0 \
  --weight-decay 0.1 --qk-layernorm --lr-decay-samples 584765624 --lr-warmup-samples 1536000 \
  --lr-warmup-init 3.9e-7 --lr 3.9e-6 --min-lr 3.9e-7 --lr-decay-style cosine \
  --adam-beta1 0.9 --adam-beta2 0.95 \
  --num-experts 256 --moe-layer-freq "([0]*3+[1]*58)" --moe-ffn-hidden-size 2048 \
  --moe-shared-expert-intermediate-size 2048 --moe-router-load-balancing-type seq_aux_loss \
  --moe-router-topk 8 --moe-token-dispatcher-type flex \
  --moe-flex-dispatcher-backend deepep --tp-comm-overlap --moe-grouped-gemm \
  --moe-aux-loss-coeff 1e-4 --moe-router-group-topk 4 --moe-router-num-groups 8 \
  --moe-router-topk-scaling-factor 2.5 --moe-router-score-function sigmoid \
  --moe-router-enable-expert-bias --moe-router-bias-update-rate 1e-3 --moe-router-dtype fp32 \
  --moe-permute-fusion --moe-router-fusion --q-lora-rank 1536 --kv-lora-rank 512 \
  --qk-head-dim 128 --qk-pos-emb-head-dim 64 --v-head-dim 128 --rotary-scaling-factor 40 \
  --mscale 1.0 --mscale-all-dim 1.0 --eval-iters 32 --eval-interval 200 --save-interval 500 \
  --init-method-std 0.02 --log-interval 1 --bf16 --enable-experimental
