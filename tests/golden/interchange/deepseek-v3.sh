# DeepSeek-AI 2024, DeepSeek-V3, sections 3.2.1 and 4.2; huggingface.co/deepseek-ai/DeepSeek-V3, config.json;
# on 1,024 GPUs as NVIDIA's Megatron-Bridge recipe: pipeline 16, experts 64.
torchrun --nnodes 128 --nproc-per-node 8 pretrain_gpt.py \
  --num-layers 61 --hidden-size 7168 --ffn-hidden-size 18432 --num-attention-heads 128 \
  --multi-latent-attention --q-lora-rank 1536 --kv-lora-rank 512 --qk-head-dim 128 \
  --qk-pos-emb-head-dim 64 --v-head-dim 128 --qk-layernorm --kv-channels 128 \
  --normalization RMSNorm --norm-epsilon 1e-6 --swiglu --disable-bias-linear \
  --untie-embeddings-and-output-weights --position-embedding-type rope --rotary-base 10000 \
  --rope-type yarn --rotary-scaling-factor 40 --mscale 1.0 --mscale-all-dim 1.0 \
  --seq-length 4096 --max-position-embeddings 163840 --vocab-size 129280 \
  --init-method-std 0.006 --attention-dropout 0.0 --hidden-dropout 0.0 \
  --num-experts 256 --moe-ffn-hidden-size 2048 --moe-shared-expert-intermediate-size 2048 \
  --moe-layer-freq "([0]*3+[1]*58)" --moe-router-topk 8 --moe-router-score-function sigmoid \
  --moe-router-num-groups 8 --moe-router-group-topk 4 --moe-router-topk-scaling-factor 2.5 \
  --moe-router-enable-expert-bias --moe-router-bias-update-rate 1e-3 \
  --moe-router-load-balancing-type seq_aux_loss --moe-aux-loss-coeff 1e-4 --moe-router-dtype fp32 \
  --moe-grouped-gemm --moe-token-dispatcher-type flex --moe-enable-deepep \
  --mtp-num-layers 1 --mtp-loss-scaling-factor 0.3 \
  --tensor-model-parallel-size 1 --pipeline-model-parallel-size 16 --expert-model-parallel-size 64 \
  --micro-batch-size 1 --global-batch-size 15360 --train-samples 3613281250 \
  --lr 2.2e-4 --min-lr 2.2e-5 --lr-decay-style cosine --lr-warmup-iters 2000 \
  --adam-beta1 0.9 --adam-beta2 0.95 --weight-decay 0.1 --clip-grad 1.0 \
  --use-distributed-optimizer --bf16 --fp8-format e4m3 --fp8-recipe blockwise \
  --recompute-granularity selective --recompute-modules mla_up_proj moe_act layernorm
