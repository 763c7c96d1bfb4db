#!/bin/bash
# NVIDIA/Megatron-LM of 2023, examples/pretrain_gpt.sh.
CHECKPOINT_PATH=checkpoints/gpt2
DATA_PATH=my-gpt2_text_document

SIZES="--num-layers 24 \
       --hidden-size 1024 \
       --num-attention-heads 16 \
       --seq-length 1024 \
       --max-position-embeddings 1024"
STEPS="
       --micro-batch-size 4 \
       --global-batch-size 8 \
       --lr 0.00015 \
       --train-iters 500000 \
       --lr-decay-iters 320000 \
       --lr-decay-style cosine \
       --min-lr 1.0e-5 \
       --weight-decay 1e-2 \
       --lr-warmup-fraction .01 \
       --clip-grad 1.0 \
       --fp16
"

torchrun pretrain_gpt.py \
       $SIZES \
       $STEPS \
       --data-path $DATA_PATH \
       --vocab-file gpt2-vocab.json \
       --merge-file gpt2-merges.txt \
       --split 949,50,1 \
       --log-interval 100 \
       --save-interval 10000 \
       --eval-interval 1000 \
       --eval-iters 10 \
       --save $CHECKPOINT_PATH \
       --load $CHECKPOINT_PATH
