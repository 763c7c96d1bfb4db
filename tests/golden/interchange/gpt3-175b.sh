#!/bin/bash
# NVIDIA/Megatron-LM of 2025, examples/gpt3/train_gpt3_175b_distributed.sh.
CHECKPOINT_PATH=$1
DATA_PATH=$5

SIZES=(
    --num-layers 96
    --hidden-size 12288
    --num-attention-heads 96
    --seq-length 2048
    --max-position-embeddings 2048
    --attention-backend auto
)
TRAINING=(
    --micro-batch-size 1
    --global-batch-size 1536
    --rampup-batch-size 16 16 5859375
    --train-iters 500000
    --weight-decay 0.1
    --adam-beta1 0.9
    --adam-beta2 0.95
    --init-method-std 0.006
    --clip-grad 1.0
    --fp16
    --lr 6.0e-5
    --lr-decay-style cosine
    --min-lr 6.0e-6
    --lr-warmup-fraction .001
    --lr-decay-iters 430000
)
PARALLEL=(
	--tensor-model-parallel-size 8
	--pipeline-model-parallel-size 16
)
FILES=(
    --data-path $DATA_PATH
    --vocab-file gpt2-vocab.json
    --merge-file gpt2-merges.txt
    --split 949,50,1
    --save $CHECKPOINT_PATH
    --load $CHECKPOINT_PATH
    --save-interval 10000
    --log-interval 100
    --eval-interval 1000
    --eval-iters 10
)
torchrun pretrain_gpt.py \
    ${SIZES[@]} \
    ${TRAINING[@]} \
    ${PARALLEL[@]} \
    ${FILES[@]}
