# NVIDIA/Megatron-LM, examples/academic_paper_scripts/sc21/CONFIG.sh and run_table_1.sh, 7.5B: Narayanan et al. 2021, table 1.
torchrun --nnodes 16 --nproc_per_node 8 pretrain_gpt.py \
  --activations-checkpoint-method uniform \
  --tensor-model-parallel-size 4 --pipeline-model-parallel-size 1 \
  --micro-batch-size 16 --global-batch-size 512 \
  --num-layers 36 --hidden-size 4096 --num-attention-heads 32 \
  --DDP-impl torch --data-path pile --vocab-file gpt2-vocab.json --merge-file gpt2-merges.txt \
  --log-interval 5 --seq-length 2048 --max-position-embeddings 2048 \
  --train-iters 500 --lr-decay-iters 320 --lr 0.0001 --min-lr 0.00001 \
  --lr-decay-style cosine --lr-warmup-fraction 0.01 --split 969,30,1 \
  --eval-iters 100 --eval-interval 1000 --clip-grad 1.0 --fp16 --loss-scale 8192
