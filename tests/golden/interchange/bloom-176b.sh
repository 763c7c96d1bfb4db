# BigScience Workshop 2022, BLOOM, tables 3 and 4; bigscience-workshop/bigscience, train/tr11-176B-ml: 48 nodes of 8 A100.
torchrun --nnodes 48 --nproc_per_node 8 pretrain_gpt.py \
  --num-layers 70 --hidden-size 14336 --num-attention-heads 112 \
  --seq-length 2048 --max-position-embeddings 2048 --position-embedding-type alibi \
  --vocab-size 250880 --make-vocab-size-divisible-by 1 --init-method-std 0.0048 \
  --tensor-model-parallel-size 4 --pipeline-model-parallel-size 12 \
  --micro-batch-size 2 --rampup-batch-size 192 16 9765625 --global-batch-size 2048 \
  --train-samples 220000000 --lr-decay-samples 200000000 --lr-warmup-samples 183105 \
  --optimizer adam --adam-beta1 0.9 --adam-beta2 0.95 --adam-eps 1e-8 \
  --lr 6e-5 --min-lr 6e-6 --lr-decay-style cosine --weight-decay 1e-1 --clip-grad 1.0 \
  --use-distributed-optimizer --bf16 --seed 42 \
  --recompute-granularity full --recompute-method uniform --recompute-num-layers 1 \
  --attention-dropout 0 --hidden-dropout 0
