# Narayanan et al. 2021, Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM,
# table 1: sizes, tensor and pipeline parallelism, GPUs and batch; section 5: sequence 2048, vocabulary 51,200.
torchrun --nnodes 192 --nproc_per_node 8 pretrain_gpt.py \
  --num-layers 80 --hidden-size 12288 --num-attention-heads 96 \
  --seq-length 2048 --max-position-embeddings 2048 --vocab-size 51200 \
  --tensor-model-parallel-size 8 --pipeline-model-parallel-size 8 \
  --micro-batch-size 1 --global-batch-size 2304 \
  --recompute-granularity full --recompute-method uniform --recompute-num-layers 1 \
  --fp16 --lr 6.0e-5 --min-lr 6.0e-6 --lr-decay-style cosine --train-iters 100
